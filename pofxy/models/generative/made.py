"""MADE (masked autoencoder for distribution estimation): one net, masked so that each output depends only on earlier inputs.

    p(x | y) = 1/O sum_o prod_d p_o(x_d | x_d' of o(d') < o(d), y),     each p_o a categorical distribution over L gray levels

There are O orders of the numbers. In order o every hidden unit has a degree m. A unit of the first layer is connected to the
numbers of rank m or less, a unit of the second layer to the units of degree m or less, and the outputs of number d to the units
of a degree below its rank o(d) (eq. 8 to 11). All orders share the weights.

Training samples an order for each batch. The model's distribution is the mean over all orders, which is still an exact
probability mass. The first order is that of the pixel sequence, so that in one order an upper half comes first; the others are
random. Each number has F output features in place of L logits; one more layer, shared by all numbers, maps them to L logits.

Reference: M. Germain, K. Gregor, I. Murray, H. Larochelle, "MADE: masked autoencoder for distribution estimation", ICML 2015.
https://arxiv.org/abs/1502.03509
"""

import math
from collections.abc import Generator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pofxy.base.data import DataSpec
from pofxy.base.hyperparameters import Optimization
from pofxy.base.tags import Tags
from pofxy.nets.dropout import Dropout
from pofxy.nets.level_features import LevelFeatures
from pofxy.nets.pixel_sequence import MAX_IMAGES, PixelSequence


class MADE(PixelSequence):
    """A net with two hidden layers.

    Args:
        hidden: units of a hidden layer.
        features: F, output features of each number, which the shared layer maps to logits.
        embedding: E, learned features of a gray level, beside its value.
        orders: O; the first is that of the sequence, the others are random.
        dropout: share of the hidden units that are dropped.
        optimization: steps, batch, learning rate and weight decay of AdamW with a cosine schedule.
    """

    tags = Tags(conditional=True, images_only=True, trained_in_steps=True, passes=4, inpainting_passes=0, passes_per_class=True)

    rank: Tensor
    degree: Tensor

    def __init__(
        self,
        hidden: int = 256,
        features: int = 16,
        embedding: int = 3,
        orders: int = 4,
        dropout: float = 0.1,
        optimization: Optimization = Optimization(steps=2500, batch=32, learning_rate=1e-2, weight_decay=0.3),
    ):
        super().__init__(optimization)
        self.hidden = hidden
        self.features = features
        self.embedding = embedding
        self.orders = orders
        self.dropout = dropout

    def build(self, spec: DataSpec) -> None:
        """Makes the layers, orders and degrees for images of L levels."""
        self.start(spec)
        numbers = self.dimensions
        hidden = self.hidden
        # The rank of each number in each order, (O, D).
        orders = [torch.arange(numbers)] + [torch.randperm(numbers) for _ in range(self.orders - 1)]
        self.register_buffer("rank", torch.stack(orders).argsort(1))
        # Degrees of the hidden units, (O, 2, H). Those of the second layer are at least the smallest of the first, so that each
        # unit has an input.
        degree = torch.randint(max(numbers - 1, 1), (self.orders, 2, hidden))
        self.register_buffer("degree", torch.maximum(degree, degree[:, :1].amin(2, keepdim=True)))
        self.level = LevelFeatures(self.levels, self.embedding)
        self.hidden_dropout = Dropout(self.dropout)
        self.first = nn.Linear(numbers * (1 + self.embedding), hidden)
        self.second = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, numbers * self.features)
        self.labels = nn.ModuleList([nn.Embedding(self.classes, hidden) for _ in range(2)])
        self.place = nn.Parameter(torch.zeros(self.classes, numbers, self.features))
        self.head = nn.Linear(self.features, self.levels)

    def logits(self, q: Tensor, y: Tensor, order: int | None = None) -> Tensor:
        """Logits of every number given those before it in the order, by default a random one, (N, D, L)."""
        order = int(torch.randint(self.orders, ())) if order is None else order
        first, second, last = self._masked_weights(order)
        h = self.level(q).flatten(1) @ first.flatten(1).T + self.first.bias + self.labels[0](y)  # (N, H)
        h = self.hidden_dropout(h.relu())
        h = self.hidden_dropout((h @ second.T + self.second.bias + self.labels[1](y)).relu())
        h = (h @ last.flatten(0, 1).T + self.last.bias).unflatten(1, (-1, self.features))  # (N, D F) -> (N, D, F)
        return self.head((h + self.place[y]).relu())

    def stepwise_logits(self, y: Tensor, order: int = 0) -> Generator[Tensor, Any, None]:
        """The same logits number by number, (N, L) each, in the order; by default in that of the pixels."""
        first, second, last = self._masked_weights(order)
        # The inputs of the first hidden layer from the numbers so far, (N, H).
        inputs = self.first.bias + self.labels[0](y)
        biases = self.last.bias.view(-1, self.features)  # (D F,) -> (D, F)
        label = self.labels[1](y)
        for d in self.rank[order].argsort().tolist():
            h = F.linear(inputs.relu(), second, self.second.bias) + label
            h = F.linear(h.relu(), last[d], biases[d]) + self.place[y, d]  # (N, F)
            level = yield self.head(h.relu())
            inputs = inputs + self.level(level) @ first[:, d].T

    def log_conditional(self, x: Tensor, y: Tensor) -> Tensor:
        """log p(x | y) in nats, (N,): the log of the mean mass over the orders."""
        parts = zip(self.levels_of(x).split(MAX_IMAGES), y.split(MAX_IMAGES))
        log_masses = [torch.stack([self._log_mass(q, labels, order) for order in range(self.orders)]) for q, labels in parts]
        return torch.cat(log_masses, 1).logsumexp(0) - math.log(self.orders)  # (O, N) -> (N,)

    def sample(self, n: int, labels: Tensor | None = None) -> Tensor:
        """n images (n, C, H, W), each in a random order; the labels are sampled from the class prior where none are given."""
        labels = self.drawn_labels(n) if labels is None else labels
        orders = torch.randint(self.orders, (n,), device=labels.device)
        q = torch.zeros(n, self.dimensions, dtype=torch.long, device=labels.device)
        for order in orders.unique():
            rows = orders == order
            q[rows] = self._complete_in_order(int(order), q[rows], torch.zeros_like(q[rows], dtype=torch.bool), labels[rows])[0]
        return self.images_of(q)

    def _complete(self, q, known, y):
        """As in the base class, but with one completion per order, of which one is chosen by its importance weight."""
        completions = [self._complete_in_order(order, q, known, y) for order in range(self.orders)]
        filled, log_weights = (torch.stack(parts, 1) for parts in zip(*completions))  # (N, O, D), (N, O)
        chosen = torch.multinomial(log_weights.softmax(1), 1)[:, 0]
        return filled[torch.arange(len(q)), chosen], log_weights.logsumexp(1) - math.log(self.orders)

    def _complete_in_order(self, order, q, known, y):
        return self.sample_unknown(self.stepwise_logits(y, order), self.rank[order].argsort().tolist(), q, known)

    def _masked_weights(self, order):
        """The weights that the masks of the order leave: (H, D, 1 + E), (H, H), (D, F, H)."""
        rank = self.rank[order]
        first_degree, second_degree = self.degree[order]
        first = self.first.weight.unflatten(1, (self.dimensions, -1)) * (first_degree[:, None] >= rank)[:, :, None]
        second = self.second.weight * (second_degree[:, None] >= first_degree)
        last = self.last.weight.unflatten(0, (self.dimensions, -1)) * (rank[:, None] > second_degree)[:, None]
        return first, second, last

    def _log_mass(self, q, y, order):
        return self.log_mass(self.logits(q, y, order), q)
