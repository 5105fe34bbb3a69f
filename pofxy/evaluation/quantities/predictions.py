"""What a model gives for the test images."""

from torch import Tensor

from pofxy.base.capabilities import SupportsDecisionFunction, SupportsPredict, SupportsPredictProba, SupportsReconstruct
from pofxy.base.prediction import predict_batched
from pofxy.evaluation.quantity import quantity


@quantity(rows="test")
def predict(model: SupportsPredict, x: Tensor) -> Tensor:
    """The label of each test image, (N,)."""
    return predict_batched(model, "predict", x)


@quantity(rows="test")
def predict_proba(model: SupportsPredictProba, x: Tensor) -> Tensor:
    """p(y | x) of each test image, (N, K)."""
    return predict_batched(model, "predict_proba", x)


@quantity(rows="test")
def decision_function(model: SupportsDecisionFunction, x: Tensor) -> Tensor:
    """The scores of each test image, (N, K)."""
    return predict_batched(model, "decision_function", x)


@quantity(rows="test", kept=False)
def class_scores(predict_proba: Tensor | None = None, decision_function: Tensor | None = None) -> Tensor:
    """(N, K), the larger, the likelier the class: probabilities, or scores of a model that has none."""
    scores = predict_proba if predict_proba is not None else decision_function
    assert scores is not None, "the catalog gives this only to models that have one of them"
    return scores


@quantity(rows="test")
def reconstruct(model: SupportsReconstruct, x: Tensor) -> Tensor:
    """The reconstruction of each test image, (N, ...)."""
    return predict_batched(model, "reconstruct", x)
