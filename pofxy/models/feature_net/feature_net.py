"""Feature net: a classifier trained on the data set, in whose feature space samples are compared with images.

    f(x) = the 64 activations before the last layer of a CNN trained to minimize -sum_n log p(y_n | x_n) on the train split

A distance between samples and images needs a meaningful feature space; features that separate the classes are one. The net sees
neither the test split nor any sample. Distances in the feature space of another net or another data set are not comparable.

Reference: M. Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium", NIPS 2017.
https://arxiv.org/abs/1706.08500. The paper uses the Inception net where this net is used here.
"""

import torch
from torch import Tensor, nn

from pofxy.base.classifiers import ProbabilisticClassifierMixin
from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.hyperparameters import Optimization
from pofxy.base.tags import Tags
from pofxy.nets.classification import classification_loss, fit_classifier
from pofxy.training.trainer import Trainer


class FeatureNet(ProbabilisticClassifierMixin, nn.Module):
    """Three convolutions with batch normalization and two fully connected layers; for tables, three fully connected layers.

    Args:
        features: dimension Z of the feature space.
        width: channels of the first convolution.
        optimization: see Optimization; AdamW with a one-cycle schedule.
    """

    tags = Tags(trained_in_steps=True)

    def __init__(
        self,
        features: int = 64,
        width: int = 32,
        optimization: Optimization = Optimization(steps=1000, batch=64, learning_rate=3e-3, weight_decay=0.01),
    ):
        super().__init__()
        self.features = features
        self.width = width
        self.optimization = optimization

    def build(self, spec: DataSpec) -> None:
        """Makes the layers for images (C, H, W) or tables (D,)."""
        if len(spec.shape) == 3:
            layers = []
            for in_channels, out_channels, stride in (
                (spec.shape[0], self.width, 1),
                (self.width, 2 * self.width, 2),
                (2 * self.width, 2 * self.width, 2),
            ):
                layers.append(nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False))
                layers.append(nn.BatchNorm2d(out_channels))
                layers.append(nn.ReLU())
        else:
            layers = [nn.LazyLinear(256), nn.ReLU()]
        self.trunk = nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(self.features), nn.ReLU())
        self.head = nn.Linear(self.features, spec.classes)
        self.trunk(torch.zeros(2, *spec.shape))  # a first batch lets the lazy layers find their sizes

    def fit(self, data: TrainingData, trainer: Trainer) -> None:
        """Trains on the train split by maximum likelihood."""
        self.build(data.spec)
        fit_classifier(self, self._loss, data, trainer, self.optimization)

    def predict_proba(self, x: Tensor) -> Tensor:
        """x -> p(y | x), (N, K)."""
        return self.head(self.trunk(x)).softmax(1)

    def encode(self, x: Tensor) -> Tensor:
        """x -> the features, (N, Z); none is negative."""
        return self.trunk(x)

    def _loss(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        return classification_loss(self.head(self.trunk(x)), y)
