"""The net of a diffusion model or a flow: from a noisy x, the time and the class to an estimate that separates noise and data.

Images of 8 x 8 pixels or more have a U-Net: residual blocks, with self-attention at the lowest resolution. Time and class scale
and shift the features of every block (adaptive group normalization). From 28 pixels on, the U-Net works on patches of pixels
(pixel unshuffle), which saves most of the time without a visible loss. Tables and smaller images have a residual net of fully
connected layers.

Classifier-free guidance: both nets have one more class, the null class, which stands for "unconditional". Some labels of the
training data are replaced by it. One net then models p(x | y) and p(x), and the difference of the two can be amplified:

    f_guided(x, t, y) = (1 + w) f(x, t, y) - w f(x, t, null)                                   (Ho and Salimans, equation 6)

References:
    J. Ho, A. Jain, P. Abbeel, "Denoising diffusion probabilistic models", NeurIPS 2020, appendix B.
    https://arxiv.org/abs/2006.11239
    Scale and shift: P. Dhariwal, A. Nichol, "Diffusion models beat GANs on image synthesis", NeurIPS 2021, section 3.
    https://arxiv.org/abs/2105.05233
    J. Ho, T. Salimans, "Classifier-free diffusion guidance", 2022. https://arxiv.org/abs/2207.12598
"""

import math
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pofxy.base.data import DataSpec
from pofxy.nets.dropout import Dropout

# Number of frequencies of the time embedding; the highest is so many radians over the whole time, the lowest 1.
FREQUENCIES = 16
HIGHEST_FREQUENCY = 200.0
# Features of an attention head.
HEAD = 32
# The smallest side of an image that is divided into patches; the side of a patch grows with the image.
PATCHES_FROM = 28


def denoiser(spec: DataSpec, width: int, dropout: float) -> "Denoiser":
    """The net for a data set: a U-Net with `width` channels in its first blocks, or one with 2 `width` units per layer."""
    if len(spec.shape) == 3 and min(spec.shape[1:]) >= 8:
        return UNet(spec.shape, spec.classes, width, dropout)
    return ResidualNet(spec.shape, spec.classes, 2 * width, dropout)


class Denoiser(nn.Module):
    """What both nets have in common: embeddings of time and class, and guidance.

    A net maps x (N, ...), t (N,) in [0, 1], y (N,) in 0..K to the shape of x in float32; y = K is the null class. Where all rows
    have one time or one label, t or y may have length 1, and its embedding is computed only once.

    Args:
        classes: K.
        features: E, of the embedding of time and class.
    """

    frequency: Tensor

    def __init__(self, classes: int, features: int):
        super().__init__()
        self.null = classes
        self.register_buffer("frequency", HIGHEST_FREQUENCY ** torch.linspace(0, 1, FREQUENCIES), persistent=False)
        self.time = nn.Sequential(nn.Linear(2 * FREQUENCIES, features), nn.SiLU(), nn.Linear(features, features))
        self.label = nn.Embedding(classes + 1, features)

    def condition(self, t: Tensor, y: Tensor) -> Tensor:
        """The embedding of times t (N,) and classes y (N,), (N, E)."""
        angle = t[:, None] * self.frequency  # (N, FREQUENCIES)
        return F.silu(self.time(torch.cat([angle.cos(), angle.sin()], 1)) + self.label(y))

    def guided(self, x: Tensor, t: Tensor, y: Tensor, guidance: float) -> Tensor:
        """(1 + w) f(x, t, y) - w f(x, t, null) for the guidance w: 0 is no guidance, -1 ignores the class (equation 6)."""
        if not guidance:
            return self(x, t, y)
        y = y.expand(len(x))
        t = t if len(t) == 1 else torch.cat([t, t])
        both = self(torch.cat([x, x]), t, torch.cat([y, torch.full_like(y, self.null)]))  # (2 N, ...)
        conditional, unconditional = both.chunk(2)
        return (1 + guidance) * conditional - guidance * unconditional

    def drop_labels(self, y: Tensor, share: float) -> Tensor:
        """Labels (N,), each replaced by the null class with probability `share`."""
        return torch.where(torch.rand(len(y), device=y.device) < share, self.null, y)


class UNet(Denoiser):
    """Downsampling to a side of 4 to 7 places and upsampling again; an image of odd size is padded, and cropped at the end.

    Args:
        shape: (C, H, W).
        classes: K.
        width: channels at full resolution; twice as many at lower ones.
        dropout: share of the features of a block that are dropped.
    """

    def __init__(self, shape: tuple[int, ...], classes: int, width: int, dropout: float):
        super().__init__(classes, 4 * width)
        channels, *self.sides = shape
        smallest = min(self.sides)
        self.patch = max(1, 2 ** round(math.log2(smallest / (PATCHES_FROM / 2)))) if smallest >= PATCHES_FROM else 1
        halvings = (smallest // self.patch // 4).bit_length() - 1  # 1 at 8 and 14 places, 2 at 16
        widths = [width] + halvings * [2 * width]
        unit = self.patch * 2**halvings
        self.padding = (0, -self.sides[1] % unit, 0, -self.sides[0] % unit)
        self.stem = nn.Conv2d(channels * self.patch**2, width, 3, padding=1)
        self.down = nn.ModuleList()
        self.downsample = nn.ModuleList()
        self.up = nn.ModuleList()
        self.upsample = nn.ModuleList()
        for above, below in pairwise(widths):
            self.down.append(_Block(above, above, dropout))
            self.downsample.append(nn.Conv2d(above, below, 3, stride=2, padding=1))
            self.upsample.append(nn.ConvTranspose2d(below, above, 2, stride=2))
            self.up.append(_Block(2 * above, above, dropout))
        self.middle = nn.ModuleList([_Block(widths[-1], widths[-1], dropout) for _ in range(2)])
        self.attention = _Attention(widths[-1])
        # One linear layer gives the scale and shift of all blocks.
        self.sizes = [2 * cast(_Block, block).features for block in [*self.down, *self.middle, *self.up]]
        self.scale_shift = nn.Linear(4 * width, sum(self.sizes))
        self.norm = nn.GroupNorm(_groups(width), width)
        self.out = nn.Conv2d(width, channels * self.patch**2, 3, padding=1)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        """(N, C, H, W), (N,), (N,) -> (N, C, H, W)."""
        scale_shift = self.scale_shift(self.condition(t, y))[..., None, None].split(self.sizes, 1)
        down = scale_shift[: len(self.down)]
        middle = scale_shift[len(self.down) : -len(self.up)]
        up = scale_shift[-len(self.up) :]
        h = self.stem(F.pixel_unshuffle(F.pad(x, self.padding), self.patch))  # (N, C, H, W) -> (N, width, H / p, W / p)
        skips = []
        for block, downsample, condition in zip(self.down, self.downsample, down):
            h = block(h, condition)
            skips.append(h)
            h = downsample(h)
        h = self.middle[0](h, middle[0])
        h = self.middle[1](self.attention(h), middle[1])
        for block, upsample, condition in reversed(list(zip(self.up, self.upsample, up))):
            h = block(torch.cat([upsample(h), skips.pop()], 1), condition)
        h = F.pixel_shuffle(self.out(F.silu(self.norm(h))), self.patch)
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
        self.stem = nn.Linear(dimensions, hidden)
        self.out = nn.Linear(hidden, dimensions)
        self.first = nn.ModuleList([nn.Linear(hidden, hidden) for _ in range(2)])
        self.second = nn.ModuleList([nn.Linear(hidden, hidden) for _ in range(2)])
        self.scale_shift = nn.ModuleList([nn.Linear(hidden, 2 * hidden) for _ in range(2)])
        self.dropout = Dropout(dropout)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        """(N, ...), (N,), (N,) -> the shape of x."""
        condition = self.condition(t, y)
        h = self.stem(x.flatten(1))
        for first, second, scale_shift in zip(self.first, self.second, self.scale_shift):
            scale, shift = scale_shift(condition).chunk(2, 1)
            h = h + second(self.dropout(F.silu(first(F.silu(h)) * (1 + scale) + shift)))
        return self.out(F.silu(h)).float().view(x.shape)  # (N, D) -> (N, ...)


class _Block(nn.Module):
    """Two convolutions and a skip connection."""

    def __init__(self, inputs, features, dropout):
        super().__init__()
        self.features = features
        self.dropout = Dropout(dropout)
        self.norms = nn.ModuleList([nn.GroupNorm(_groups(inputs), inputs), nn.GroupNorm(_groups(features), features)])
        self.convolutions = nn.ModuleList(
            [nn.Conv2d(inputs, features, 3, padding=1), nn.Conv2d(features, features, 3, padding=1)]
        )
        self.skip = nn.Conv2d(inputs, features, 1) if inputs != features else nn.Identity()
        nn.init.zeros_(cast(nn.Conv2d, self.convolutions[1]).weight)  # at first a block is its skip connection

    def forward(self, x, scale_shift):
        scale, shift = scale_shift.chunk(2, 1)  # (N, 2 F, 1, 1) -> 2 of (N, F, 1, 1)
        h = self.norms[1](self.convolutions[0](F.silu(self.norms[0](x))))
        h = self.dropout(F.silu(h * (1 + scale) + shift))
        return self.skip(x) + self.convolutions[1](h)


class _Attention(nn.Module):
    """Self-attention between all places, in float32."""

    def __init__(self, features):
        super().__init__()
        self.heads = max(1, features // HEAD)
        self.norm = nn.GroupNorm(_groups(features), features)
        self.project = nn.Conv2d(features, 3 * features, 1)
        self.out = nn.Conv2d(features, features, 1)
        nn.init.zeros_(self.out.weight)

    def forward(self, x):
        # (N, 3 F, H, W) -> queries, keys and values, each (N, heads, H W, F / heads)
        parts = self.project(self.norm(x)).float().flatten(2).unflatten(1, (3, self.heads, -1)).transpose(3, 4).unbind(1)
        attended = F.scaled_dot_product_attention(*parts)
        return x + self.out(attended.transpose(2, 3).reshape(x.shape))  # (N, heads, H W, F / heads) -> (N, F, H, W)


def _groups(features):
    return math.gcd(8, features)
