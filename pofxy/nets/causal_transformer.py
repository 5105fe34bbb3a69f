"""Causal transformer: each token attends to itself and to the tokens before it. Generation costs one token at a time.

    h <- h + W attention(norm(h)),   h <- h + mlp(norm(h)),   attention(h) = softmax(Q K' / sqrt(d) + causal mask) V

Queries and keys have rotary embeddings: they are rotated by angles that grow with the position of the token, so that the product
of a query and a key depends on the distance between them.

Sources: A. Vaswani et al., "Attention is all you need", NIPS 2017, eq. 1. https://arxiv.org/abs/1706.03762
Norms before the layers: R. Xiong et al., "On layer normalization in the transformer architecture", ICML 2020.
https://arxiv.org/abs/2002.04745
Rotary embeddings: J. Su et al., "RoFormer: enhanced transformer with rotary position embedding", 2021, eq. 16 and 34.
https://arxiv.org/abs/2104.09864
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pofxy.nets.dropout import Dropout


class CausalTransformer(nn.Module):
    """The blocks alone, without token embeddings and without a head.

    Args:
        width: F, the features of a token, a multiple of four for each head.
        heads: of attention.
        depth: blocks.
        dropout: share of the features that are dropped where a block adds to its tokens.
    """

    def __init__(self, width: int, heads: int, depth: int, dropout: float):
        super().__init__()
        self.blocks = cast(Sequence[_Block], nn.ModuleList([_Block(width, heads, dropout) for _ in range(depth)]))

    def forward(self, h: Tensor, rotations: Tensor) -> Tensor:
        """Tokens (N, T, F) and their rotary embeddings (T, 1, 1, F / heads / 2), complex -> (N, T, F)."""
        for block in self.blocks:
            h = block(h, rotations)
        return h

    def caches(self, n: int, length: int, device: torch.device) -> list[Tensor]:
        """Empty caches for the keys and values of all tokens of n sequences, (2, n, heads, length, F / heads) per block."""
        return [block.cache(n, length, device) for block in self.blocks]

    def next(self, h: Tensor, caches: list[Tensor], position: int, rotations: Tensor) -> Tensor:
        """The output for one token (N, F) at the position, (N, F); its keys and values are written to the caches."""
        h = h[:, None]
        for block, cache in zip(self.blocks, caches):
            h = block.next(h, cache, position, rotations[position : position + 1])
        return h[:, 0]


class _Block(nn.Module):
    """Attention and an MLP with residual connections, norms first."""

    def __init__(self, width, heads, dropout):
        super().__init__()
        self.heads = heads
        self.dropout = Dropout(dropout)
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.attend = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))

    def forward(self, h, rotations):
        """Tokens (N, T, F) and their rotary embeddings (T, 1, 1, F / heads / 2) -> (N, T, F)."""
        query, key, value = self._attention_inputs(h, rotations)
        # In single precision even where the rest is not: the gradient in bfloat16 takes five times as long on a processor.
        with torch.autocast(h.device.type, enabled=False):
            attended = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self._residual(h, attended)

    def cache(self, n, length, device):
        """An empty cache for the keys and values of all tokens, (2, N, heads, length, F / heads)."""
        return torch.zeros(2, n, self.heads, length, self.mix.in_features // self.heads, device=device)

    def next(self, h, cache, position, rotations):
        """The block's output for the token (N, 1, F) at the position; its key and value are written to the cache."""
        query, key, value = self._attention_inputs(h, rotations)
        cache[0, :, :, position] = key[:, :, 0]
        cache[1, :, :, position] = value[:, :, 0]
        attended = F.scaled_dot_product_attention(query, cache[0, :, :, : position + 1], cache[1, :, :, : position + 1])
        return self._residual(h, attended)

    def _attention_inputs(self, h, rotations):
        """Queries, keys and values, (N, T, F) -> 3 of (N, heads, T, F / heads)."""
        qkv = self.attend(self.norms[0](h)).to(h.dtype).unflatten(2, (3, self.heads, -1))  # (N, T, 3, heads, F / heads)
        rotated = torch.view_as_complex(qkv[:, :, :2].unflatten(4, (-1, 2))) * rotations
        query, key = torch.view_as_real(rotated).flatten(4).permute(2, 0, 3, 1, 4)
        return query, key, qkv[:, :, 2].transpose(1, 2)

    def _residual(self, h, attended):
        h = h + self.dropout(self.mix(attended.transpose(1, 2).flatten(2)))
        return h + self.dropout(self.mlp(self.norms[1](h)))


def grid_rotations(height: int, width: int, features: int) -> Tensor:
    """Rotary embeddings of the places of a grid, complex: half of them for the row, half for the column.

    Args:
        height: rows of the grid, which is read row by row.
        width: columns of the grid.
        features: of a head, a multiple of four.

    Returns:
        (H W, 1, 1, features / 2)
    """
    # Angles per place go from pi / 2 down to a sixteenth of that. Rows and columns count from 1: 0 is for tokens without a place.
    speed = torch.pi / 2 * 16 ** -torch.linspace(0, 1, features // 4)
    row = torch.arange(height)[:, None] * torch.ones(width)
    column = torch.ones(height, 1) * torch.arange(width)
    angle = torch.cat([(1 + row.flatten())[:, None] * speed, (1 + column.flatten())[:, None] * speed], 1)
    return torch.polar(torch.ones_like(angle), angle)[:, None, None]
