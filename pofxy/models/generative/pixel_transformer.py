"""Pixel transformer: each pixel is predicted by attention to the pixels before it.

    log p(x | y) = sum_p log p(x_p | x_1 .. x_p-1, y),    h <- h + attention(norm(h)),  h <- h + mlp(norm(h)),
    attention(h) = softmax(Q K' / sqrt(d) + causal mask) V,    Q, K, V linear in h                                  (eq. 1)

A token stands for the pixel that it predicts. It is the sum of learned vectors for its row, for its column and for its place
within the class, and of features of the neighboring pixels that come before it. The class is a token as well, the first one.
Queries and keys have rotary embeddings of row and column, so that their product depends on the distance between two pixels.
Sampling keeps the keys and values of earlier tokens, so each pixel costs one token.

References: A. Vaswani et al., "Attention is all you need", NIPS 2017. https://arxiv.org/abs/1706.03762
Pixels as the sequence, with vectors for rows and columns: N. Parmar et al., "Image transformer", ICML 2018.
https://arxiv.org/abs/1802.05751
A decoder with norms before the layers: M. Chen et al., "Generative pretraining from pixels", ICML 2020, section 2.2.
https://proceedings.mlr.press/v119/chen20s.html
Rotary embeddings: J. Su et al., "RoFormer: enhanced transformer with rotary position embedding", 2021, eq. 16 and 34.
https://arxiv.org/abs/2104.09864
"""

from collections.abc import Generator, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pofxy.base.data import DataSpec
from pofxy.base.hyperparameters import Optimization
from pofxy.base.tags import Tags
from pofxy.nets.causal_transformer import CausalTransformer, grid_rotations
from pofxy.nets.level_features import LevelFeatures
from pofxy.nets.pixel_sequence import LevelsHead, PixelSequence

# The M neighbors of a pixel among those before it, as (rows up, columns to the right).
NEIGHBORS = [(0, -1), (0, -2), (1, -2), (1, -1), (1, 0), (1, 1), (1, 2), (2, -1), (2, 0), (2, 1)]


class PixelTransformer(PixelSequence):
    """A transformer decoder over pixels.

    Args:
        width: F, the features of a token, a multiple of four for each head.
        heads: of attention.
        depth: blocks.
        embedding: E, learned features of a gray level, beside its value.
        dropout: share of the features that are dropped where a block adds to its tokens.
        optimization: steps, batch, learning rate and weight decay of AdamW with a cosine schedule.
    """

    tags = Tags(conditional=True, images_only=True, trained_in_steps=True, inpainting_passes=0, passes_per_class=True)

    neighbors: Tensor
    rotations: Tensor

    def __init__(
        self,
        width: int = 48,
        heads: int = 2,
        depth: int = 2,
        embedding: int = 7,
        dropout: float = 0.2,
        optimization: Optimization = Optimization(steps=600, batch=32, learning_rate=8e-3, weight_decay=0.8),
    ):
        super().__init__(optimization)
        self.width = width
        self.heads = heads
        self.depth = depth
        self.embedding = embedding
        self.dropout = dropout

    def build(self, spec: DataSpec) -> None:
        """Makes the layers for images of L levels."""
        self.start(spec)
        channels, height, width = spec.shape
        pixels = height * width  # P
        inputs = channels * (1 + self.embedding)
        self.register_buffer("neighbors", _neighbors(height, width), persistent=False)  # (P, M)
        self.register_buffer("rotations", _rotations(height, width, self.width // self.heads), persistent=False)
        self.level = LevelFeatures(self.levels, self.embedding)
        self.local = nn.Linear(len(NEIGHBORS) * inputs, self.width)
        self.row = nn.Parameter(0.02 * torch.randn(height, 1, self.width))
        self.column = nn.Parameter(0.02 * torch.randn(1, width, self.width))
        self.label = nn.Embedding(self.classes, self.width)
        self.place = nn.Parameter(torch.zeros(self.classes, pixels, self.width))
        self.transformer = CausalTransformer(self.width, self.heads, self.depth, self.dropout)
        self.norm = nn.LayerNorm(self.width)
        self.head = LevelsHead(self.width, channels, self.levels)

    def logits(self, q: Tensor, y: Tensor) -> Tensor:
        """Logits of every number given the numbers before it, (N, D, L)."""
        return self._attend(q, self._neighborhoods(q), self.label(y), self._place(y))

    def logits_by_class(self, q: Tensor) -> Iterator[Tensor]:
        """The same for each class in turn, K of (N, D, L): the features of the neighborhoods serve all of them."""
        h = self._neighborhoods(q)
        for label, place in zip(self.label.weight, self._place(slice(None))):
            yield self._attend(q, h, label.expand(len(q), -1), place)

    def stepwise_logits(self, y: Tensor) -> Generator[Tensor, Any, None]:
        """The same logits number by number, (N, L) each."""
        pixels = len(self.neighbors)
        n = len(y)
        place = self._place(y)
        inputs = torch.zeros(n, pixels + 1, self.local.in_features // len(NEIGHBORS), device=y.device)
        caches = self.transformer.caches(n, 1 + pixels, y.device)
        self.transformer.next(self.label(y), caches, 0, self.rotations)
        for p in range(pixels):
            h = self.local(inputs[:, self.neighbors[p]].flatten(1)) + place[:, p]  # (N, M, C (1 + E)) -> (N, F)
            context = self.norm(self.transformer.next(h, caches, 1 + p, self.rotations))
            q = torch.zeros(n, self.channels, dtype=torch.long, device=y.device)
            for c in range(self.channels):
                q[:, c] = yield self.head.channel(context, q, c)
            inputs[:, p] = self.level(q).flatten(1)

    def _neighborhoods(self, q):
        """Features of the neighbors of each pixel that come before it, of levels q (N, D), (N, P, F)."""
        q = q.view(len(q), -1, self.channels)  # (N, D) -> (N, P, C)
        # (N, P + 1, C (1 + E)); the last row stands for the neighbors outside of the image.
        inputs = F.pad(self.level(q).flatten(2), (0, 0, 0, 1))
        return self.local(inputs[:, self.neighbors].flatten(2))  # (N, P, M, C (1 + E)) -> (N, P, F)

    def _attend(self, q, h, label, place):
        """Logits of levels q (N, D), from the neighborhoods (N, P, F), and the class's token (N, F) and places (.., P, F)."""
        h = torch.cat([label[:, None], h + place], 1)  # (N, 1 + P, F)
        h = self.transformer(h, self.rotations)
        q = q.view(len(q), -1, self.channels)  # (N, D) -> (N, P, C)
        return self.head(self.norm(h[:, 1:]), q).flatten(1, 2)  # (N, P, C, L) -> (N, D, L)

    def _place(self, y):
        return (self.row + self.column).flatten(0, 1) + self.place[y]  # (H, W, F) -> (P, F), plus (N, P, F)


def _neighbors(height, width):
    """Index of each neighbor of each pixel, (P, M); P for one outside of the image."""
    row = torch.arange(height)[:, None, None]
    column = torch.arange(width)[:, None]
    up, right = torch.tensor(NEIGHBORS).T
    row = row - up  # (H, 1, M)
    column = column + right  # (W, M)
    inside = (row >= 0) & (column >= 0) & (column < width)
    index = torch.where(inside, row * width + column, height * width).flatten(0, 1)  # (H, W, M) -> (P, M)
    # The first pixel of a row has no left neighbor. In its place stands the last pixel of the row above, which lies in no other
    # neighborhood: so every pixel is an input of some token.
    index[width::width, 0] = torch.arange(width - 1, height * width - 1, width)
    return index


def _rotations(height, width, features):
    """Rotary embedding of each token, (1 + P, 1, 1, features / 2): none for the class, which comes first."""
    rotations = grid_rotations(height, width, features)
    return torch.cat([torch.ones_like(rotations[:1]), rotations])
