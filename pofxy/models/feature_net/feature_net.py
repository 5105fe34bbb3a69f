"""Feature net: the data set's own classifier, on whose features samples are compared with images.

    f(x) = the 64 activations before the last layer of a CNN trained to minimise -sum_n log p(y_n | x_n) on the train split

A distance between samples and images needs a space in which it means something; what tells the classes apart is one. It sees
neither the test split nor any sample. Distances on another net's features, or another data set's, are not comparable.

Reference: M. Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium", NIPS 2017, with
the Inception net in this net's place.
"""

import torch
from torch import nn
from torch.nn import functional as F

from pofxy.base.classifiers import ProbabilisticClassifierMixin
from pofxy.base.tags import Tags
from pofxy.training.trainer import Objective


class FeatureNet(ProbabilisticClassifierMixin, nn.Module):
    """Three convolutions with batch normalisation and two fully connected layers; of tables, two hidden layers.

    Args:
        features: Z, the size of the space.
        width: channels of the first convolution.
        steps: batches to train for.
        batch: images in one.
        learning_rate: at its height, of a one-cycle schedule.
    """

    tags = Tags(trained_in_steps=True)

    def __init__(self, features: int = 64, width: int = 32, steps: int = 1000, batch: int = 64, learning_rate: float = 3e-3):
        super().__init__()
        self.features, self.width, self.steps, self.batch, self.learning_rate = features, width, steps, batch, learning_rate

    def build(self, spec):
        """Layers for images (C, H, W) or tables (D,)."""
        if len(spec.shape) == 3:
            trunk = []
            for before, after, stride in (
                (spec.shape[0], self.width, 1),
                (self.width, 2 * self.width, 2),
                (2 * self.width, 2 * self.width, 2),
            ):
                trunk += [nn.Conv2d(before, after, 3, stride, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        else:
            trunk = [nn.LazyLinear(256), nn.ReLU()]
        self.trunk = nn.Sequential(*trunk, nn.Flatten(), nn.LazyLinear(self.features), nn.ReLU())
        self.head = nn.Linear(self.features, spec.classes)
        self.trunk(torch.zeros(2, *spec.shape))  # tells the lazy layers their sizes

    def fit(self, data, trainer):
        """Trains on the train split; keeps the parameters of the lowest loss on val."""
        self.build(data.spec)
        objective = Objective(self._loss, self.parameters(), self.learning_rate, schedule="one_cycle", weight_decay=0.01)
        trainer.run(self, data, [objective], steps=self.steps, batch=self.batch, validate=self._loss, bfloat16=True)

    def predict_proba(self, x):
        """p(y | x), (N, K)."""
        return self.head(self.trunk(x)).softmax(1)

    def encode(self, x):
        """The features, (N, Z), none negative."""
        return self.trunk(x)

    def _loss(self, x, y):
        logits = self.head(self.trunk(x)).float()
        return {"loss": F.cross_entropy(logits, y), "accuracy": (logits.argmax(1) == y).float().mean()}
