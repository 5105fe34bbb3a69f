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
        return self._from_first_layer(self._first_layer(q, first), y, second, last)

    def stepwise_logits(self, y: Tensor, order: int = 0) -> Generator[Tensor, Any, None]:
        """The same logits number by number, (N, L) each, in the order; by default in that of the pixels.

        No hidden unit is computed twice: one of degree m has all its inputs as soon as the number of rank m is known.
        """
        first, second, last = self._masked_weights(order)
        first = first.flatten(1)  # (H, D, 1 + E) -> (H, D (1 + E))
        biases = self.last.bias.view(-1, self.features)  # (D F,) -> (D, F)
        first_bias = (self.first.bias + self.labels[0](y)).T  # (H, N)
        second_bias = (self.second.bias + self.labels[1](y)).T
        # Units and features are rows here, so that those of a step lie side by side.
        features = first_bias.new_zeros(self.dimensions, first.shape[1] // self.dimensions, len(y))  # (D, 1 + E, N)
        h_1 = torch.zeros_like(first_bias)  # (H, N)
        h_2 = torch.zeros_like(first_bias)
        for rank, d in enumerate(self.rank[order].argsort().tolist()):
            h = torch.addmm(biases[d, :, None], last[d], h_2).T + self.place[y, d]  # (F, H) (H, N) -> (F, N) -> (N, F)
            level = yield self.head(h.relu())
            features[d] = self.level(level).T
            units_1, units_2 = (torch.nonzero(degree == rank)[:, 0] for degree in self.degree[order])
            h_1[units_1] = (first[units_1] @ features.flatten(0, 1) + first_bias[units_1]).relu()
            h_2[units_2] = (second[units_2] @ h_1 + second_bias[units_2]).relu()

    def log_conditional(self, x: Tensor, y: Tensor) -> Tensor:
        """log p(x | y) in nats, (N,): the log of the mean mass over the orders."""
        parts = zip(self.levels_of(x).split(MAX_IMAGES), y.split(MAX_IMAGES))
        log_masses = [torch.stack([self._log_mass(q, labels, order) for order in range(self.orders)]) for q, labels in parts]
        return torch.cat(log_masses, 1).logsumexp(0) - math.log(self.orders)  # (O, N) -> (N,)

    def log_joint(self, x: Tensor) -> Tensor:
        """log p(x, y) in nats, (N, K): masks and the sums of the first layer are computed once for all classes."""
        q = self.levels_of(x)
        labels = torch.arange(self.classes, device=x.device)[:, None]
        log_masses = []
        for order in range(self.orders):
            first, second, last = self._masked_weights(order)
            for part in q.split(self.scoring_batch):
                sums = self._first_layer(part, first)
                logits = (self._from_first_layer(sums, label, second, last) for label in labels)
                log_masses.append(torch.stack([self.log_mass(of_class, part) for of_class in logits], 1))
        log_mass = torch.cat(log_masses).view(self.orders, len(q), self.classes)  # (O N, K) -> (O, N, K)
        return self.log_prior + log_mass.logsumexp(0) - math.log(self.orders)

    def sample(self, n: int, labels: Tensor | None = None) -> Tensor:
        """n images (n, C, H, W), each in a random order; the labels are sampled from the class prior where none are given."""
        labels = self.drawn_labels(n) if labels is None else labels
        orders = torch.randint(self.orders, (n,), device=labels.device)
        q = torch.zeros(n, self.dimensions, dtype=torch.long, device=labels.device)
        for order in orders.unique():
            rows = orders == order
            q[rows] = self._complete_in_order(int(order), q[rows], torch.zeros_like(q[rows], dtype=torch.bool), labels[rows])[0]
        return self.images_of(q)

    def fill_in(self, q: Tensor, known: Tensor) -> Tensor:
        """As in the base class, but with one completion per class and order, of which one is chosen by its importance weight."""
        repeated = self.for_every_class(q, known)
        completions, log_weights = zip(*[self._complete_in_order(order, *repeated) for order in range(self.orders)])
        log_weights = (
            torch.stack(log_weights, 1).view(len(q), self.classes, -1) + self.log_prior[:, None]
        )  # O of (N K,) -> (N, K, O)
        chosen = torch.multinomial(log_weights.flatten(1).softmax(1), 1)[:, 0]
        return torch.stack(completions, 1).view(len(q), -1, self.dimensions)[
            torch.arange(len(q)), chosen
        ]  # (N, K O, D) -> (N, D)

    def _complete_in_order(self, order, q, known, y):
        return self.sample_unknown(self.stepwise_logits(y, order), self.rank[order].argsort().tolist(), q, known)

    def _first_layer(self, q, first):
        """Sums of the hidden units of the first layer, without the class's part, (N, H)."""
        return self.level(q).flatten(1) @ first.flatten(1).T + self.first.bias

    def _from_first_layer(self, sums, y, second, last):
        """Logits (N, D, L) from the sums of the first layer (N, H); y is (N,), or (1,) for one class in all rows."""
        h = self.hidden_dropout((sums + self.labels[0](y)).relu())
        h = self.hidden_dropout((h @ second.T + self.second.bias + self.labels[1](y)).relu())
        h = (h @ last.flatten(0, 1).T + self.last.bias).unflatten(1, (-1, self.features))  # (N, D F) -> (N, D, F)
        return self.head((h + self.place[y]).relu())

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
