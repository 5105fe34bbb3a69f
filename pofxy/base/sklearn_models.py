"""Mixins for models whose numbers are held by a scikit-learn `estimator`."""

from typing import Any

import torch
from torch import Tensor

from pofxy.base.classifiers import ProbabilisticClassifierMixin
from pofxy.base.data import TrainingData
from pofxy.base.visualization import Visualization


class SklearnMixin:
    """`fit` and `predict` for a model whose `estimator` is a classifier of scikit-learn, on rows of pixels or columns."""

    estimator: Any

    def fit(self, data: TrainingData, trainer) -> None:
        """Fits on the train split; there is nothing to train in steps."""
        self.estimator.fit(data.x.flatten(1).numpy(), data.y.numpy())  # (N, C, H, W) -> (N, D)

    def predict(self, x: Tensor) -> Tensor:
        """The estimator's own label, (N,)."""
        return torch.from_numpy(self.estimator.predict(x.flatten(1).numpy()))


class SklearnProbabilisticMixin(ProbabilisticClassifierMixin, SklearnMixin):
    """For an estimator with probabilities."""

    def predict_proba(self, x: Tensor) -> Tensor:
        """p(y | x), (N, K)."""
        return torch.from_numpy(self.estimator.predict_proba(x.flatten(1).numpy()))


class LinearScoresMixin(SklearnMixin):
    """For a linear estimator: its scores W x + b are computed in torch, which can differentiate them."""

    def decision_function(self, x: Tensor) -> Tensor:
        """W x + b, (N, K)."""
        weight, bias = self.weights()
        return x.flatten(1) @ weight.T + bias

    def weights(self) -> tuple[Tensor, Tensor]:
        """W (K, D) and b (K,), float32. For two classes scikit-learn keeps one row, that of the second class."""
        weight, bias = (torch.from_numpy(part).float() for part in (self.estimator.coef_, self.estimator.intercept_))
        if len(weight) == 1:
            return torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
        return weight, bias

    def count_parameters(self) -> int:
        """The number of values in W and b, as scikit-learn keeps them."""
        return self.estimator.coef_.size + self.estimator.intercept_.size

    def picture(self, x: Tensor, y: Tensor) -> Visualization:
        """The weights of each class as an image."""
        weight = self.weights()[0]
        caption = "The weights of each class: red pixels are evidence for it, blue ones against it."
        images = weight.view(-1, *x.shape[1:])  # (K, D) -> (K, C, H, W)
        return Visualization(images, columns=min(10, len(images)), caption=caption, signed=True)
