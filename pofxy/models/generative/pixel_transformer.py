"""Pixel transformer: each pixel is predicted by attention to the pixels before it.

    log p(x | y) = sum_p log p(x_p | x_1 .. x_p-1, y),    h <- h + attention(norm(h)),  h <- h + mlp(norm(h)),
    attention(h) = softmax(Q K' / sqrt(d) + causal mask) V,    Q, K, V linear in h                                  (eq. 1)

A token stands for the pixel that it predicts. It is the sum of learned vectors for its row, its column and its place within its
class, and of what it is told of the pixels around it that came before. The class is also a token of its own, the first. Queries
and keys are turned by angles that grow with row and column, so that a product of two depends on how far apart they are. A draw
keeps the keys and values of the tokens so far: each pixel costs one token.

References: A. Vaswani et al., "Attention is all you need", NIPS 2017; pixels as the sequence, with vectors for rows and columns:
N. Parmar et al., "Image transformer", ICML 2018; the decoder, norms before the layers: M. Chen et al., "Generative pretraining
from pixels", ICML 2020, section 2.2; turned queries and keys: J. Su et al., "RoFormer", arXiv:2104.09864, 2021, eq. 16 and 34.
"""

import torch
from torch import nn
from torch.nn import functional as F

from pofxy.base.tags import Tags
from pofxy.nets.causal_transformer import CausalTransformer, grid_turns
from pofxy.nets.level_features import LevelFeatures
from pofxy.nets.pixel_sequence import LevelsHead, PixelSequence

# The pixels next to a pixel, of those before it, as (rows up, columns to the right).
NEIGHBORS = [(0, -1), (0, -2), (1, -2), (1, -1), (1, 0), (1, 1), (1, 2), (2, -1), (2, 0), (2, 1)]


class PixelTransformer(PixelSequence):
    """A decoder over pixels.

    Args:
        width: F, the features of a token, a multiple of four for each head.
        heads: of attention.
        depth: blocks.
        embedding: E, learned features of a grey level, beside its value.
        dropout: share of the features that are dropped where a block adds to its tokens.
        steps: batches to train for.
        batch: images in one.
        learning_rate: at its height, of a cosine schedule.
        weight_decay: of AdamW.
    """

    tags = Tags(conditional=True, images_only=True, trained_in_steps=True)

    def __init__(
        self,
        width: int = 48,
        heads: int = 2,
        depth: int = 2,
        embedding: int = 7,
        dropout: float = 0.2,
        steps: int = 600,
        batch: int = 32,
        learning_rate: float = 8e-3,
        weight_decay: float = 0.8,
    ):
        super().__init__(steps, batch, learning_rate, weight_decay)
        self.width, self.heads, self.depth, self.embedding, self.dropout = width, heads, depth, embedding, dropout

    def build(self, spec):
        """Layers for images of L levels."""
        self.start(spec)
        channels, height, width = spec.shape
        pixels, told = height * width, channels * (1 + self.embedding)  # P
        self.register_buffer("neighbors", _neighbors(height, width), persistent=False)  # (P, M)
        self.register_buffer("turns", _turns(height, width, self.width // self.heads), persistent=False)
        self.level = LevelFeatures(self.levels, self.embedding)
        self.local = nn.Linear(len(NEIGHBORS) * told, self.width)
        self.row = nn.Parameter(0.02 * torch.randn(height, 1, self.width))
        self.column = nn.Parameter(0.02 * torch.randn(1, width, self.width))
        self.label = nn.Embedding(self.classes, self.width)
        self.place = nn.Parameter(torch.zeros(self.classes, pixels, self.width))
        self.transformer = CausalTransformer(self.width, self.heads, self.depth, self.dropout)
        self.norm = nn.LayerNorm(self.width)
        self.head = LevelsHead(self.width, channels, self.levels)

    def logits(self, q, y):
        """Of every number from the numbers before it, (N, D, L)."""
        q = q.view(len(q), -1, self.channels)  # (N, D) -> (N, P, C)
        told = F.pad(self.level(q).flatten(2), (0, 0, 0, 1))  # (N, P + 1, C (1 + E)), the last for what lies outside
        h = self.local(told[:, self.neighbors].flatten(2)) + self._place(y)  # (N, P, M, C (1 + E)) -> (N, P, F)
        h = torch.cat([self.label(y)[:, None], h], 1)  # (N, 1 + P, F)
        h = self.transformer(h, self.turns)
        return self.head(self.norm(h[:, 1:]), q).flatten(1, 2)  # (N, P, C, L) -> (N, D, L)

    def walk(self, y):
        """The same number by number."""
        pixels, n = len(self.neighbors), len(y)
        place = self._place(y)
        told = torch.zeros(n, pixels + 1, self.local.in_features // len(NEIGHBORS), device=y.device)
        caches = self.transformer.caches(n, 1 + pixels, y.device)
        self.transformer.next(self.label(y), caches, 0, self.turns)
        for p in range(pixels):
            h = self.local(told[:, self.neighbors[p]].flatten(1)) + place[:, p]  # (N, M, C (1 + E)) -> (N, F)
            context = self.norm(self.transformer.next(h, caches, 1 + p, self.turns))
            q = torch.zeros(n, self.channels, dtype=torch.long, device=y.device)
            for c in range(self.channels):
                q[:, c] = yield self.head.channel(context, q, c)
            told[:, p] = self.level(q).flatten(1)

    def _place(self, y):
        return (self.row + self.column).flatten(0, 1) + self.place[y]  # (N, P, F)


def _neighbors(height, width):
    """Index of each neighbour of each pixel, (P, M); P for one outside of the image."""
    row, column = torch.arange(height)[:, None, None], torch.arange(width)[:, None]
    up, right = torch.tensor(NEIGHBORS).T
    row, column = row - up, column + right  # (H, 1, M), (1 W, M)
    inside = (row >= 0) & (column >= 0) & (column < width)
    found = torch.where(inside, row * width + column, height * width).flatten(0, 1)  # (H, W, M) -> (P, M)
    # To the left of a row's first pixel lies the last one of the row above, which no other window has: so all are seen.
    found[width::width, 0] = torch.arange(width - 1, height * width - 1, width)
    return found


def _turns(height, width, features):
    """The turn of each token, (1 + P, 1, 1, features / 2): the class, which comes first, is not turned."""
    turns = grid_turns(height, width, features)
    return torch.cat([torch.ones_like(turns[:1]), turns])
