"""Mixins that derive a classifier's labels and probabilities from its scores."""

from torch import Tensor


class ProbabilisticClassifierMixin:
    """`predict` for a model that has `predict_proba`."""

    def predict(self, x: Tensor) -> Tensor:
        """The most probable label, (N,)."""
        return self.predict_proba(x).argmax(1)


class ScoreClassifierMixin:
    """`predict` for a model that has `decision_function`."""

    def predict(self, x: Tensor) -> Tensor:
        """The label of the largest score, (N,)."""
        return self.decision_function(x).argmax(1)


class LogitsClassifierMixin(ScoreClassifierMixin):
    """A net whose scores are log p(y | x) but for a constant."""

    def predict_proba(self, x: Tensor) -> Tensor:
        """p(y | x) = exp(s_y) / sum_k exp(s_k), (N, K)."""
        return self.decision_function(x).softmax(1)
