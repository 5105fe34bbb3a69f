"""A transformer over a sequence of which each token sees itself and the ones before it; a draw costs one token at a time.

    h <- h + W attention(norm(h)),   h <- h + mlp(norm(h)),   attention(h) = softmax(Q K' / sqrt(d) + causal mask) V

Queries and keys are turned by angles that grow with the place of the token, so that a product of two depends on how far apart
they are. Sources: A. Vaswani et al., NIPS 2017, eq. 1; norms first: R. Xiong et al., ICML 2020; turned queries and keys: J. Su et
al., "RoFormer", arXiv:2104.09864, 2021, eq. 16 and 34.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pofxy.nets.dropout import Dropout


class CausalTransformer(nn.Module):
    """Blocks one after the other, without what makes tokens of words or pixels and without a head.

    Args:
        width: F, the features of a token, a multiple of four for each head.
        heads: of attention.
        depth: blocks.
        dropout: share of the features that are dropped where a block adds to its tokens.
    """

    def __init__(self, width: int, heads: int, depth: int, dropout: float):
        super().__init__()
        self.blocks = nn.ModuleList([_Block(width, heads, dropout) for _ in range(depth)])

    def forward(self, h: Tensor, turns: Tensor) -> Tensor:
        """Tokens (N, T, F), and the turn of each (T, 1, 1, F / heads / 2), complex -> (N, T, F)."""
        for block in self.blocks:
            h = block(h, turns)
        return h

    def caches(self, n: int, length: int, device: torch.device) -> list[Tensor]:
        """Room for the keys and values of all tokens of n sequences."""
        return [block.cache(n, length, device) for block in self.blocks]

    def next(self, h: Tensor, caches: list[Tensor], position: int, turns: Tensor) -> Tensor:
        """What the blocks make of the token (N, F) at the position, (N, F); its keys and values go into the caches."""
        h = h[:, None]
        for block, cache in zip(self.blocks, caches):
            h = block.next(h, cache, position, turns[position : position + 1])
        return h[:, 0]


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


def grid_turns(height: int, width: int, features: int) -> Tensor:
    """The turn of each place of a grid, complex, (H W, 1, 1, features / 2): half of them for its row, half for its column.

    Args:
        height, width: of the grid, which is read row by row.
        features: of a head, a multiple of four.
    """
    # From a quarter of a turn per place down to a sixteenth of that. Rows and columns count from 1; 0 is for no place at all.
    speed = torch.pi / 2 * 16 ** -torch.linspace(0, 1, features // 4)
    row, column = torch.arange(height)[:, None] * torch.ones(width), torch.ones(height, 1) * torch.arange(width)
    angle = torch.cat([(1 + row.flatten())[:, None] * speed, (1 + column.flatten())[:, None] * speed], 1)
    return torch.polar(torch.ones_like(angle), angle)[:, None, None]
