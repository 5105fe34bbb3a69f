"""The net of a diffusion model or a flow: from a noisy x, the time and the class to what tells the noise from the data.

Images of 8 x 8 pixels or more have a U-Net, of residual blocks with self-attention at the lowest size, as in J. Ho, A. Jain,
P. Abbeel, NeurIPS 2020 (appendix B); time and class scale and shift the features of every block (P. Dhariwal, A. Nichol,
NeurIPS 2021, section 3). From 28 pixels on it works on blocks of pixels (pixel unshuffle), which saves most of the time at no
loss to be seen. Tables and smaller images have a residual net of fully connected layers.

Guidance: both nets know one class more, the null class, which stands for "not told". Trained on labels some of which are
replaced by it, one net knows p(x | y) and p(x), and what tells them apart can be exaggerated (J. Ho, T. Salimans,
arXiv:2207.12598).
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pofxy.base.data import DataSpec
from pofxy.nets.dropout import Dropout

# Frequencies of the time's features, from 1 to FASTEST radians over the whole time.
FREQUENCIES, FASTEST = 16, 200.0
HEAD = 32
# The smallest side, from which on a block of pixels is one place; it grows with the side.
BLOCKS_FROM = 28


def denoiser(spec: DataSpec, width: int, dropout: float) -> "Denoiser":
    """The net for this data set: a U-Net whose first blocks have `width` channels, or one of 2 `width` units a layer."""
    if len(spec.shape) == 3 and min(spec.shape[1:]) >= 8:
        return UNet(spec.shape, spec.classes, width, dropout)
    return ResidualNet(spec.shape, spec.classes, 2 * width, dropout)


class Denoiser(nn.Module):
    """What both nets have in common: (x (N, ...), t (N,) in [0, 1], y (N,) in 0..K) -> the shape of x, float32; y = K is null.

    Where all rows have one time, or one label, t or y may be of length 1: it is then looked at only once.

    Args:
        classes: K.
        features: E, of time and class together.
    """

    def __init__(self, classes: int, features: int):
        super().__init__()
        self.null = classes
        self.register_buffer("frequency", FASTEST ** torch.linspace(0, 1, FREQUENCIES), persistent=False)
        self.time = nn.Sequential(nn.Linear(2 * FREQUENCIES, features), nn.SiLU(), nn.Linear(features, features))
        self.label = nn.Embedding(classes + 1, features)

    def condition(self, t: Tensor, y: Tensor) -> Tensor:
        """Features of time and class, (N, E)."""
        angle = t[:, None] * self.frequency  # (N, FREQUENCIES)
        return F.silu(self.time(torch.cat([angle.cos(), angle.sin()], 1)) + self.label(y))

    def guided(self, x: Tensor, t: Tensor, y: Tensor, guidance: float) -> Tensor:
        """(1 + w) f(x, t, y) - w f(x, t, null), w the guidance: 0 is none, -1 leaves the class out (Ho and Salimans, eq. 6)."""
        if not guidance:
            return self(x, t, y)
        y = y.expand(len(x))
        t = t if len(t) == 1 else torch.cat([t, t])
        told, untold = self(torch.cat([x, x]), t, torch.cat([y, torch.full_like(y, self.null)])).chunk(2)
        return (1 + guidance) * told - guidance * untold

    def forgetful(self, y: Tensor, share: float) -> Tensor:
        """Labels (N,), this share of which are replaced by the null class."""
        return torch.where(torch.rand(len(y), device=y.device) < share, self.null, y)


class UNet(Denoiser):
    """Down to a side of 4 to 7 places and up again; what is too large for that is padded at the end, and cut off.

    Args:
        shape: (C, H, W).
        classes: K.
        width: channels at full size; twice as many below.
        dropout: share of the features of a block that are dropped.
    """

    def __init__(self, shape: tuple[int, ...], classes: int, width: int, dropout: float):
        super().__init__(classes, 4 * width)
        channels, *self.sides = shape
        self.block = max(1, 2 ** round(math.log2(min(self.sides) / (BLOCKS_FROM / 2)))) if min(self.sides) >= BLOCKS_FROM else 1
        halvings = (min(self.sides) // self.block // 4).bit_length() - 1  # once at 8 and 14 places, twice at 16
        widths = [width] + halvings * [2 * width]
        unit = self.block * 2**halvings
        self.padding = (0, -self.sides[1] % unit, 0, -self.sides[0] % unit)
        self.stem = nn.Conv2d(channels * self.block**2, width, 3, padding=1)
        self.down, self.shrink, self.up, self.grow = (nn.ModuleList() for _ in range(4))
        for wide, deep in pairwise(widths):
            self.down.append(_Block(wide, wide, dropout))
            self.shrink.append(nn.Conv2d(wide, deep, 3, stride=2, padding=1))
            self.grow.append(nn.ConvTranspose2d(deep, wide, 2, stride=2))
            self.up.append(_Block(2 * wide, wide, dropout))
        self.middle = nn.ModuleList([_Block(widths[-1], widths[-1], dropout) for _ in range(2)])
        self.attention = _Attention(widths[-1])
        # One layer tells all blocks their scale and shift.
        self.sizes = [2 * block.features for block in [*self.down, *self.middle, *self.up]]
        self.told = nn.Linear(4 * width, sum(self.sizes))
        self.norm = nn.GroupNorm(_groups(width), width)
        self.out = nn.Conv2d(width, channels * self.block**2, 3, padding=1)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        """(N, C, H, W), (N,), (N,) -> (N, C, H, W)."""
        told = self.told(self.condition(t, y))[..., None, None].split(self.sizes, 1)
        down, middle, up = (told[: len(self.down)], told[len(self.down) : -len(self.up)], told[-len(self.up) :])
        h = self.stem(F.pixel_unshuffle(F.pad(x, self.padding), self.block))  # (N, C, H, W) -> (N, width, H / b, W / b)
        skips = []
        for block, shrink, condition in zip(self.down, self.shrink, down):
            h = block(h, condition)
            skips.append(h)
            h = shrink(h)
        h = self.middle[0](h, middle[0])
        h = self.middle[1](self.attention(h), middle[1])
        for block, grow, condition in reversed(list(zip(self.up, self.grow, up))):
            h = block(torch.cat([grow(h), skips.pop()], 1), condition)
        h = F.pixel_shuffle(self.out(F.silu(self.norm(h))), self.block)
        return h[..., : self.sides[0], : self.sides[1]].float()


class ResidualNet(Denoiser):
    """Two residual blocks of fully connected layers.

    Args:
        shape: of x, which is flattened.
        classes: K.
        hidden: units of a layer.
        dropout: share of them that are dropped.
    """

    def __init__(self, shape: tuple[int, ...], classes: int, hidden: int, dropout: float):
        super().__init__(classes, hidden)
        dimensions = math.prod(shape)
        self.stem, self.out = nn.Linear(dimensions, hidden), nn.Linear(hidden, dimensions)
        self.first = nn.ModuleList([nn.Linear(hidden, hidden) for _ in range(2)])
        self.second = nn.ModuleList([nn.Linear(hidden, hidden) for _ in range(2)])
        self.told = nn.ModuleList([nn.Linear(hidden, 2 * hidden) for _ in range(2)])
        self.dropout = Dropout(dropout)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        """(N, ...), (N,), (N,) -> the shape of x."""
        condition, h = self.condition(t, y), self.stem(x.flatten(1))
        for first, second, told in zip(self.first, self.second, self.told):
            scale, shift = told(condition).chunk(2, 1)
            h = h + second(self.dropout(F.silu(first(F.silu(h)) * (1 + scale) + shift)))
        return self.out(F.silu(h)).float().view(x.shape)  # (N, D) -> (N, ...)


class _Block(nn.Module):
    """Two convolutions and what skips them."""

    def __init__(self, inputs, features, dropout):
        super().__init__()
        self.features, self.dropout = features, Dropout(dropout)
        self.norms = nn.ModuleList([nn.GroupNorm(_groups(inputs), inputs), nn.GroupNorm(_groups(features), features)])
        self.convolutions = nn.ModuleList(
            [nn.Conv2d(inputs, features, 3, padding=1), nn.Conv2d(features, features, 3, padding=1)]
        )
        self.skip = nn.Conv2d(inputs, features, 1) if inputs != features else nn.Identity()
        nn.init.zeros_(self.convolutions[1].weight)  # at first a block is what skips it

    def forward(self, x, condition):
        scale, shift = condition.chunk(2, 1)  # (N, 2 F, 1, 1) -> 2 of (N, F, 1, 1)
        h = self.norms[1](self.convolutions[0](F.silu(self.norms[0](x))))
        h = self.dropout(F.silu(h * (1 + scale) + shift))
        return self.skip(x) + self.convolutions[1](h)


class _Attention(nn.Module):
    """Self-attention between all places, in float32."""

    def __init__(self, features):
        super().__init__()
        self.heads = max(1, features // HEAD)
        self.norm = nn.GroupNorm(_groups(features), features)
        self.project, self.out = nn.Conv2d(features, 3 * features, 1), nn.Conv2d(features, features, 1)
        nn.init.zeros_(self.out.weight)

    def forward(self, x):
        # (N, 3 F, H, W) -> 3 of (N, heads, H W, F / heads)
        parts = self.project(self.norm(x)).float().flatten(2).unflatten(1, (3, self.heads, -1)).transpose(3, 4).unbind(1)
        found = F.scaled_dot_product_attention(*parts)
        return x + self.out(found.transpose(2, 3).reshape(x.shape))  # (N, heads, H W, F / heads) -> (N, F, H, W)


def _groups(features):
    return math.gcd(8, features)
