"""Multilayer perceptron (MLP): fully connected layers with a nonlinearity after each.

    h_1 = relu(W_1 x + b_1),  h_2 = relu(W_2 h_1 + b_2),  p(y | x) = softmax(W_3 h_2 + b_3),     minimize -sum_n log p(y_n | x_n)

It can approximate any continuous function. It makes no use of the structure of images: training on pixels in any other fixed
order would do as well.

Reference: D. E. Rumelhart, G. E. Hinton, R. J. Williams, "Learning representations by back-propagating errors", Nature 323, 1986.
https://doi.org/10.1038/323533a0. With ReLU, and with dropout: N. Srivastava et al., "Dropout: a simple way to prevent neural
networks from overfitting", Journal of Machine Learning Research 15, 2014. https://jmlr.org/papers/v15/srivastava14a.html
"""

import math
from typing import cast

from torch import Tensor, nn

from pofxy.base.classifiers import LogitsClassifierMixin
from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.hyperparameters import Optimization
from pofxy.base.tags import Tags
from pofxy.base.visualization import Visualization
from pofxy.nets.classification import classification_loss, fit_classifier
from pofxy.training.trainer import Trainer

MAX_UNITS_SHOWN = 40


class MLP(LogitsClassifierMixin, nn.Module):
    """Two hidden layers on raw pixels or columns.

    Args:
        hidden: units of each hidden layer.
        dropout: share of the hidden units that are dropped in training.
        optimization: see Optimization; AdamW with a one-cycle schedule.
    """

    tags = Tags(trained_in_steps=True)

    def __init__(
        self,
        hidden: int = 256,
        dropout: float = 0.3,
        optimization: Optimization = Optimization(steps=3000, batch=64, learning_rate=3e-3, weight_decay=0.1),
    ):
        super().__init__()
        self.hidden = hidden
        self.dropout = dropout
        self.optimization = optimization

    def build(self, spec: DataSpec) -> None:
        """Makes the layers for D numbers and K classes."""
        self.net = nn.Sequential(
            nn.Flatten(),  # (N, C, H, W) -> (N, D)
            nn.Linear(math.prod(spec.shape), self.hidden),
            nn.ReLU(),
            nn.Dropout(self.dropout),
            nn.Linear(self.hidden, self.hidden),
            nn.ReLU(),
            nn.Dropout(self.dropout),
            nn.Linear(self.hidden, spec.classes),
        )

    def fit(self, data: TrainingData, trainer: Trainer) -> None:
        """Trains on the train split by maximum likelihood."""
        self.build(data.spec)
        fit_classifier(self, self._loss, data, trainer, self.optimization)

    def decision_function(self, x: Tensor) -> Tensor:
        """x -> the logits, (N, K)."""
        return self.net(x)

    def picture(self, x: Tensor, y: Tensor) -> Visualization:
        """The weights of the units of the first hidden layer with the largest norms."""
        weight = cast(nn.Linear, self.net[1]).weight.detach()  # (hidden, D)
        largest = weight.norm(dim=1).argsort(descending=True)[:MAX_UNITS_SHOWN]
        images = weight[largest].view(-1, *x.shape[1:])  # (n, D) -> (n, C, H, W)
        caption = f"Weights of the {len(images)} first-layer units with the largest norms: positive red, negative blue."
        return Visualization(images, columns=10, caption=caption, signed=True)

    def _loss(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        return classification_loss(self.net(x), y)
