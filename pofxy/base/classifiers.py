"""Mixins that derive a classifier's labels and probabilities from its scores."""

from torch import Tensor

from pofxy.base.capabilities import SupportsDecisionFunction, SupportsPredictProba


class ProbabilisticClassifierMixin:
    """`predict` for a model with `predict_proba`."""

    def predict(self: SupportsPredictProba, x: Tensor) -> Tensor:
        """The most probable label, (N,)."""
        return self.predict_proba(x).argmax(1)


class ScoreClassifierMixin:
    """`predict` for a model with `decision_function`."""

    def predict(self: SupportsDecisionFunction, x: Tensor) -> Tensor:
        """The label with the largest score, (N,)."""
        return self.decision_function(x).argmax(1)


class LogitsClassifierMixin(ScoreClassifierMixin):
    """For a net whose scores are logits: log p(y | x) up to a constant."""

    def predict_proba(self: SupportsDecisionFunction, x: Tensor) -> Tensor:
        """p(y | x) = exp(s_y) / sum_k exp(s_k), (N, K)."""
        return self.decision_function(x).softmax(1)
