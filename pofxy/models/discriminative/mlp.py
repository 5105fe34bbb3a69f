"""Multilayer perceptron: layers of weighted sums with a bend after each.

    h_1 = relu(W_1 x + b_1),  h_2 = relu(W_2 h_1 + b_2),  p(y | x) = softmax(W_3 h_2 + b_3),     minimise -sum_n log p(y_n | x_n)

It can approximate any function, and knows nothing of images: pixels put in another order would do as well.

Reference: D. E. Rumelhart, G. E. Hinton, R. J. Williams, "Learning representations by back-propagating errors", Nature, 1986;
with ReLU and dropout (N. Srivastava et al., JMLR 2014).
"""

import math

from torch import nn
from torch.nn import functional as F

from pofxy.base.classifiers import LogitsClassifierMixin
from pofxy.base.tags import Tags
from pofxy.base.visualization import Visualization
from pofxy.training.trainer import Objective


class MLP(LogitsClassifierMixin, nn.Module):
    """Two hidden layers, on the pixels or columns as they come.

    Args:
        hidden: units of each hidden layer.
        dropout: share of the hidden units that are dropped in training.
        steps: batches to train for.
        batch: images in one.
        learning_rate: at its height, of a one-cycle schedule.
        weight_decay: of AdamW.
    """

    tags = Tags(trained_in_steps=True)

    def __init__(
        self,
        hidden: int = 256,
        dropout: float = 0.3,
        steps: int = 3000,
        batch: int = 64,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.1,
    ):
        super().__init__()
        self.hidden, self.dropout = hidden, dropout
        self.steps, self.batch, self.learning_rate, self.weight_decay = steps, batch, learning_rate, weight_decay

    def build(self, spec):
        """Layers for D numbers and K classes."""
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

    def fit(self, data, trainer):
        """Trains on the train split; keeps the parameters of the lowest loss on val."""
        self.build(data.spec)
        objective = Objective(
            self._loss, self.parameters(), self.learning_rate, schedule="one_cycle", weight_decay=self.weight_decay
        )
        trainer.run(self, data, [objective], steps=self.steps, batch=self.batch, validate=self._loss, bfloat16=True)

    def decision_function(self, x):
        """The logits, (N, K)."""
        return self.net(x)

    def picture(self, x, y):
        """The weights of the first hidden units: those with the largest."""
        weight = self.net[1].weight.detach()  # (hidden, D)
        largest = weight.norm(dim=1).argsort(descending=True)[:40]
        images = weight[largest].view(-1, *x.shape[1:])
        return Visualization(
            images, columns=10, caption="What its 40 strongest first units look for, red, and avoid, blue.", signed=True
        )

    def _loss(self, x, y):
        logits = self.net(x).float()
        return {"loss": F.cross_entropy(logits, y), "accuracy": (logits.argmax(1) == y).float().mean()}
