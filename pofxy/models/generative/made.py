"""Masked autoencoder (MADE): one net of which each output sees only the numbers that come before it, in any of several orders.

    p(x | y) = 1/O sum_o prod_d p_o(x_d | x_d' of o(d') < o(d), y),     each p_o a categorical law over the L grey levels

In order o every hidden unit has a degree m, and is joined to the numbers of rank m at most, or to the hidden units of degree m at
most; the outputs of number d to those of a degree below its rank o(d) (eq. 8 to 11). The weights are the same for all orders.
Training takes another order for each batch, and p is the mean over all of them: still an exact mass. The first order is that of
the sequence, so that there is one in which an upper half comes first; the others are random. In place of L outputs, each number
has F, and one more layer, which all numbers share, makes L of them.

Reference: M. Germain, K. Gregor, I. Murray, H. Larochelle, "MADE: masked autoencoder for distribution estimation", ICML 2015.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pofxy.base.tags import Tags
from pofxy.nets.dropout import Dropout
from pofxy.nets.level_features import LevelFeatures
from pofxy.nets.pixel_sequence import ROWS, PixelSequence


class MADE(PixelSequence):
    """Two hidden layers.

    Args:
        hidden: units of a hidden layer.
        features: F, of each number, of which the layer that all numbers share makes its law.
        embedding: E, learned features of a grey level, beside its value.
        orders: O, the first that of the sequence, the others random.
        dropout: share of the hidden units that are dropped.
        steps: batches to train for.
        batch: images in one.
        learning_rate: at its height, of a cosine schedule.
        weight_decay: of AdamW.
    """

    tags = Tags(conditional=True, images_only=True, trained_in_steps=True)

    def __init__(
        self,
        hidden: int = 256,
        features: int = 16,
        embedding: int = 3,
        orders: int = 4,
        dropout: float = 0.1,
        steps: int = 2500,
        batch: int = 32,
        learning_rate: float = 1e-2,
        weight_decay: float = 0.3,
    ):
        super().__init__(steps, batch, learning_rate, weight_decay)
        self.hidden, self.features, self.embedding, self.orders, self.dropout = hidden, features, embedding, orders, dropout

    def build(self, spec):
        """Layers, orders and degrees for images of L levels."""
        self.start(spec)
        numbers, hidden = self.dimensions, self.hidden
        # Where in each order a number comes, (O, D).
        orders = [torch.arange(numbers)] + [torch.randperm(numbers) for _ in range(self.orders - 1)]
        self.register_buffer("rank", torch.stack(orders).argsort(1))
        # Degrees of hidden units, (O, 2, H): those of the second layer reach as far as the least of the first at least.
        degree = torch.randint(max(numbers - 1, 1), (self.orders, 2, hidden))
        self.register_buffer("degree", torch.maximum(degree, degree[:, :1].amin(2, keepdim=True)))
        self.level = LevelFeatures(self.levels, self.embedding)
        self.dropped = Dropout(self.dropout)
        self.first = nn.Linear(numbers * (1 + self.embedding), hidden)
        self.second = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, numbers * self.features)
        self.labels = nn.ModuleList([nn.Embedding(self.classes, hidden) for _ in range(2)])
        self.place = nn.Parameter(torch.zeros(self.classes, numbers, self.features))
        self.head = nn.Linear(self.features, self.levels)

    def logits(self, q, y, order: int | None = None):
        """Of every number from those before it in the order, by default a random one, (N, D, L)."""
        order = int(torch.randint(self.orders, ())) if order is None else order
        first, second, last = self._masked(order)
        h = self.dropped((self.level(q).flatten(1) @ first.flatten(1).T + self.first.bias + self.labels[0](y)).relu())
        h = self.dropped((h @ second.T + self.second.bias + self.labels[1](y)).relu())
        h = (h @ last.flatten(0, 1).T + self.last.bias).unflatten(1, (-1, self.features))  # (N, D, F)
        return self.head((h + self.place[y]).relu())

    def walk(self, y, order: int = 0):
        """The same number by number, in the order: by default that of the pixels."""
        first, second, last = self._masked(order)
        given = self.first.bias + self.labels[0](y)  # of the first hidden units, from the numbers so far: (N, H)
        biases, label = self.last.bias.view(-1, self.features), self.labels[1](y)
        for d in self.rank[order].argsort().tolist():
            h = F.linear(given.relu(), second, self.second.bias) + label
            h = F.linear(h.relu(), last[d], biases[d]) + self.place[y, d]  # (N, F)
            level = yield self.head(h.relu())
            given = given + self.level(level) @ first[:, d].T

    def log_conditional(self, x: Tensor, y: Tensor) -> Tensor:
        """log p(x | y) in nats, (N,): the mean mass over the orders."""
        parts = zip(self.levels_of(x).split(ROWS), y.split(ROWS))
        found = [torch.stack([self._log_mass(q, labels, order) for order in range(self.orders)]) for q, labels in parts]
        return torch.cat(found, 1).logsumexp(0) - math.log(self.orders)  # (O, N) -> (N,)

    def sample(self, n: int, labels: Tensor | None = None) -> Tensor:
        """n images, each in an order drawn for it; the labels are drawn from the class prior where none are given."""
        labels = self.drawn_labels(n) if labels is None else labels
        orders = torch.randint(self.orders, (n,), device=labels.device)
        q = torch.zeros(n, self.dimensions, dtype=torch.long, device=labels.device)
        for order in orders.unique():
            rows = orders == order
            q[rows] = self._in_order(int(order), q[rows], torch.zeros_like(q[rows], dtype=torch.bool), labels[rows])[0]
        return self.images_of(q)

    def _completed(self, q, known, y):
        """As the base has it, but by a draw in each order, of which one is taken by its weight."""
        drawn = [self._in_order(order, q, known, y) for order in range(self.orders)]
        filled, weight = (torch.stack(parts, 1) for parts in zip(*drawn))  # (N, O, D), (N, O)
        chosen = torch.multinomial(weight.softmax(1), 1)[:, 0]
        return filled[torch.arange(len(q)), chosen], weight.logsumexp(1) - math.log(self.orders)

    def _in_order(self, order, q, known, y):
        return self.walked(self.walk(y, order), self.rank[order].argsort().tolist(), q, known)

    def _masked(self, order):
        """The weights that the order leaves: (H, D, 1 + E), (H, H), (D, F, H)."""
        rank, (one, two) = self.rank[order], self.degree[order]
        first = self.first.weight.unflatten(1, (self.dimensions, -1)) * (one[:, None] >= rank)[:, :, None]
        second = self.second.weight * (two[:, None] >= one)
        last = self.last.weight.unflatten(0, (self.dimensions, -1)) * (rank[:, None] > two)[:, None]
        return first, second, last

    def _log_mass(self, q, y, order):
        return self.log_mass(self.logits(q, y, order), q)
