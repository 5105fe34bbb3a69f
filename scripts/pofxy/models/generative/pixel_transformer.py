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

from pofxy.nets.dropout import Dropout
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
        self.blocks = nn.ModuleList([_Block(self.width, self.heads, self.dropout) for _ in range(self.depth)])
        self.norm = nn.LayerNorm(self.width)
        self.head = LevelsHead(self.width, channels, self.levels)

    def logits(self, q, y):
        """Of every number from the numbers before it, (N, D, L)."""
        q = q.view(len(q), -1, self.channels)  # (N, D) -> (N, P, C)
        told = F.pad(self.level(q).flatten(2), (0, 0, 0, 1))  # (N, P + 1, C (1 + E)), the last for what lies outside
        h = self.local(told[:, self.neighbors].flatten(2)) + self._place(y)  # (N, P, M, C (1 + E)) -> (N, P, F)
        h = torch.cat([self.label(y)[:, None], h], 1)  # (N, 1 + P, F)
        for block in self.blocks:
            h = block(h, self.turns)
        return self.head(self.norm(h[:, 1:]), q).flatten(1, 2)  # (N, P, C, L) -> (N, D, L)

    def walk(self, y):
        """The same number by number."""
        pixels, n = len(self.neighbors), len(y)
        place = self._place(y)
        told = torch.zeros(n, pixels + 1, self.local.in_features // len(NEIGHBORS), device=y.device)
        caches = [block.cache(n, 1 + pixels, y.device) for block in self.blocks]
        self._next(self.label(y), caches, 0)
        for p in range(pixels):
            h = self.local(told[:, self.neighbors[p]].flatten(1)) + place[:, p]  # (N, M, C (1 + E)) -> (N, F)
            context = self._next(h, caches, 1 + p)
            q = torch.zeros(n, self.channels, dtype=torch.long, device=y.device)
            for c in range(self.channels):
                q[:, c] = yield self.head.channel(context, q, c)
            told[:, p] = self.level(q).flatten(1)

    def _next(self, h, caches, position):
        """What the blocks make of the token (N, F) at the position, (N, F); its keys and values go into the caches."""
        h = h[:, None]
        for block, cache in zip(self.blocks, caches):
            h = block.next(h, cache, position, self.turns[position : position + 1])
        return self.norm(h[:, 0])

    def _place(self, y):
        return (self.row + self.column).flatten(0, 1) + self.place[y]  # (N, P, F)


class _Block(nn.Module):
    """Attention and a net over each token, each added to it, norms first."""

    def __init__(self, width, heads, dropout):
        super().__init__()
        self.heads, self.dropped = heads, Dropout(dropout)
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.attend = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))

    def forward(self, h, turns):
        """Tokens (N, T, F), and the turn of each (T, 1, 1, F / heads / 2) -> (N, T, F)."""
        query, key, value = self._split(h, turns)
        # In single precision even where the rest is not: the gradient in bfloat16 takes five times as long on a processor.
        with torch.autocast(h.device.type, enabled=False):
            found = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self._added(h, found)

    def cache(self, n, length, device):
        """Room for the keys and values of all tokens, (2, N, heads, length, F / heads)."""
        return torch.zeros(2, n, self.heads, length, self.mix.in_features // self.heads, device=device)

    def next(self, h, cache, position, turns):
        """The block's outcome for the token (N, 1, F) at the position; its key and value are kept in the cache."""
        query, key, value = self._split(h, turns)
        cache[0, :, :, position], cache[1, :, :, position] = key[:, :, 0], value[:, :, 0]
        found = F.scaled_dot_product_attention(query, cache[0, :, :, : position + 1], cache[1, :, :, : position + 1])
        return self._added(h, found)

    def _split(self, h, turns):
        """Queries, keys and values, (N, T, F) -> 3 of (N, heads, T, F / heads)."""
        found = self.attend(self.norms[0](h)).to(h.dtype).unflatten(2, (3, self.heads, -1))  # (N, T, 3, heads, F / heads)
        turned = torch.view_as_complex(found[:, :, :2].unflatten(4, (-1, 2))) * turns
        query, key = torch.view_as_real(turned).flatten(4).permute(2, 0, 3, 1, 4)
        return query, key, found[:, :, 2].transpose(1, 2)

    def _added(self, h, found):
        h = h + self.dropped(self.mix(found.transpose(1, 2).flatten(2)))
        return h + self.dropped(self.mlp(self.norms[1](h)))


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
    """The turn of each token, as complex numbers (1 + P, 1, 1, features / 2): half of them for its row, half for its column."""
    # From a quarter of a turn per pixel down to a sixteenth of that; the class is not turned.
    speed = torch.pi / 2 * 16 ** -torch.linspace(0, 1, features // 4)
    row, column = torch.arange(height)[:, None] * torch.ones(width), torch.ones(height, 1) * torch.arange(width)
    angle = torch.cat([(1 + row.flatten())[:, None] * speed, (1 + column.flatten())[:, None] * speed], 1)
    angle = torch.cat([torch.zeros_like(angle[:1]), angle])  # (P, features / 2) -> (1 + P, features / 2)
    return torch.polar(torch.ones_like(angle), angle)[:, None, None]
