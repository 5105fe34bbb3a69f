"""What a model gives for the test images."""

from torch import Tensor

from pofxy.base import bayes
from pofxy.base.capabilities import (
    SupportsDecisionFunction,
    SupportsLogJoint,
    SupportsPredict,
    SupportsPredictProba,
    SupportsReconstruct,
)
from pofxy.base.classifiers import ProbabilisticClassifierMixin
from pofxy.base.prediction import predict_batched
from pofxy.evaluation.quantity import quantity


@quantity(rows="test")
def log_joint(model: SupportsLogJoint, x: Tensor) -> Tensor:
    """log p(x, y) of each test image in nats, (N, K), from which its label, probabilities and log p(x) follow."""
    return predict_batched(model, "log_joint", x)


@quantity(rows="test")
def predict(model: SupportsPredict, x: Tensor, predict_proba: Tensor | None = None) -> Tensor:
    """The label of each test image, (N,)."""
    if predict_proba is not None and isinstance(model, ProbabilisticClassifierMixin):
        return predict_proba.argmax(1)
    return predict_batched(model, "predict", x)


@quantity(rows="test")
def predict_proba(model: SupportsPredictProba, x: Tensor, log_joint: Tensor | None = None) -> Tensor:
    """p(y | x) of each test image, (N, K)."""
    return predict_batched(model, "predict_proba", x) if log_joint is None else bayes.posterior(log_joint)


@quantity(rows="test")
def class_scores(
    model: SupportsPredictProba | SupportsDecisionFunction, x: Tensor, predict_proba: Tensor | None = None
) -> Tensor:
    """(N, K), the larger, the likelier the class: probabilities, or scores of a model that has none."""
    return predict_batched(model, "decision_function", x) if predict_proba is None else predict_proba


@quantity(rows="test")
def reconstruct(model: SupportsReconstruct, x: Tensor) -> Tensor:
    """The reconstruction of each test image, (N, ...)."""
    return predict_batched(model, "reconstruct", x)
