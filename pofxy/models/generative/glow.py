"""Glow: a convolutional flow of steps that rescale the channels, mix them by a learned matrix, and couple one half to the other.

    actnorm            v_c -> exp(s_c) v_c + b_c                     log |det| = H W sum_c s_c
    1 x 1 convolution  v_ij -> W v_ij,  W = P L (U + diag d)         log |det| = H W sum_c log |d_c|
    affine coupling    v_b -> exp(s(v_a)) v_b + t(v_a)               log |det| = sum s(v_a)                  (table 1)

Before the steps of each scale, pixels that lie in one small square become channels of one place (squeeze); after them one half of
the channels leaves the flow, as a Gaussian whose centre and deviation depend on the other half, which goes on (split).

Sides that 2 doesn't divide are squeezed by 3, or stay as they are: no pixel is added, so the density is exact for any size.
Preprocessing: each pixel's own distribution function, then the quantile function of the normal law (nets/normalizing_flow.py).
The class enters by the base law, a Gaussian for each, at all scales. The nets are scaled in size, and see where they are.

Reference: D. P. Kingma, P. Dhariwal, "Glow: generative flow with invertible 1x1 convolutions", NeurIPS 2018.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from pofxy.base.tags import Tags
from pofxy.nets.dropout import Dropout
from pofxy.nets.normalizing_flow import NormalizingFlow


class Glow(NormalizingFlow):
    """Density over the bins of the pixels.

    Args:
        n_scales: squeezes at most; fewer where the image has no more.
        n_flow_steps: steps of flow on each scale.
        hidden: channels of a coupling net's two hidden layers.
        dropout: share of these that are dropped at each place.
        steps: batches to train for.
        batch: images in one.
        learning_rate: at its height, of a cosine schedule.
        weight_decay: of AdamW.
        temperature: factor of the base law's deviation in sampling; below 1 images come nearer to the middle of their class.
    """

    tags = Tags(conditional=True, likelihood="density", images_only=True, trained_in_steps=True)

    def __init__(
        self,
        n_scales: int = 2,
        n_flow_steps: int = 4,
        hidden: int = 32,
        dropout: float = 0.1,
        steps: int = 1000,
        batch: int = 64,
        learning_rate: float = 6e-3,
        weight_decay: float = 0.01,
        temperature: float = 1.0,
    ):
        super().__init__(steps, batch, learning_rate, weight_decay, temperature)
        self.n_scales, self.n_flow_steps, self.hidden, self.dropout = n_scales, n_flow_steps, hidden, dropout

    def build(self, spec):
        """Layers for images of any size. Raises ValueError for tables and for images of one number."""
        if spec.levels is None or math.prod(spec.shape) < 2:
            raise ValueError(f"{spec.name}: Glow needs images of two numbers or more, not {spec.shape}")
        self.start(spec)
        self.stages = nn.ModuleList()
        shape = spec.shape
        for scale in range(self.n_scales):
            factors = [next((factor for factor in (2, 3) if side % factor == 0), 1) for side in shape[1:]]
            if scale > 0 and factors == [1, 1]:
                break
            if shape[0] == 1 and factors == [1, 1]:
                # One channel alone can't be coupled: all of a row, or of a column.
                factors = [1, shape[2]] if shape[2] > 1 else [shape[1], 1]
            if self.stages:
                self.stages.append(Split(shape))
                shape = self.stages[-1].stays
            self.stages.append(Squeeze(shape, factors))
            shape = self.stages[-1].squeezed
            for _ in range(self.n_flow_steps):
                net = PlaceNet(shape, shape[0] // 2, self.hidden, self.dropout)
                self.stages += [ActNorm(shape), Mixing(shape), Coupling(shape, shape[0] // 2, net)]

    def begin(self, v):
        """Actnorm's parameters, layer by layer, from a first batch v (N, D)."""
        v = v.view(-1, *self.shape)  # (N, D) -> (N, C, H, W)
        for stage in self.stages:
            if isinstance(stage, ActNorm):
                stage.begin(v)
            v, *_ = stage(v)

    def to_base(self, v):
        """v (N, D) -> z (N, D), what leaves last comes first; log |det dz/dv| (N,)."""
        v, log_det, left = v.view(-1, *self.shape), v.new_zeros(len(v)), []
        for stage in self.stages:
            v, term, *half = stage(v)
            log_det = log_det + term
            left += half
        return torch.cat([part.flatten(1) for part in [v, *reversed(left)]], 1), log_det  # -> (N, D)

    def from_base(self, z):
        """z (N, D) -> v (N, D)."""
        splits = [stage for stage in reversed(self.stages) if isinstance(stage, Split)]
        shapes = [self.stages[-1].shape, *(split.leaves for split in splits)]
        parts = z.split([math.prod(shape) for shape in shapes], 1)
        v, *halves = (part.view(-1, *shape) for part, shape in zip(parts, shapes, strict=True))  # -> (N, C', H', W') each
        for stage in reversed(self.stages):
            v = stage.inverse(v, halves.pop(0)) if stage in splits else stage.inverse(v)
        return v.flatten(1)


class Squeeze(nn.Module):
    """Rectangles of pixels, whose sides `factors` divide the image's, become channels of one place (section 3.6 of RealNVP)."""

    def __init__(self, shape, factors):
        super().__init__()
        self.shape, self.factors = shape, factors
        self.squeezed = (shape[0] * math.prod(factors), shape[1] // factors[0], shape[2] // factors[1])

    def forward(self, v):
        """(N, C, H, W) -> (N, C a b, H / a, W / b), 0."""
        v = v.unflatten(3, (-1, self.factors[1])).unflatten(2, (-1, self.factors[0]))  # (N, C, H/a, a, W/b, b)
        return v.permute(0, 1, 3, 5, 2, 4).flatten(1, 3), 0.0

    def inverse(self, z):
        """(N, C a b, H / a, W / b) -> (N, C, H, W)."""
        z = z.unflatten(1, (-1, *self.factors))  # (N, C, a, b, H/a, W/b)
        return z.permute(0, 1, 4, 2, 5, 3).flatten(4, 5).flatten(2, 3)


class ActNorm(nn.Module):
    """A scale and a shift for each channel, by which the first batch has mean 0 and variance 1 (section 3.1).

    They are parameters: a saved model and a checkpoint keep them, and nothing needs to know whether they were set.
    """

    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.log_scale, self.shift = nn.Parameter(torch.zeros(shape[0])), nn.Parameter(torch.zeros(shape[0]))

    def begin(self, v):
        """From a first batch v (N, C, H, W)."""
        deviation = v.std((0, 2, 3), correction=0).clamp(min=1e-2)
        self.log_scale.data, self.shift.data = -deviation.log(), -v.mean((0, 2, 3)) / deviation

    def forward(self, v):
        """(N, C, H, W) -> its shape, log |det|."""
        places = self.shape[1] * self.shape[2]
        return v * self.log_scale.exp()[:, None, None] + self.shift[:, None, None], places * self.log_scale.sum()

    def inverse(self, z):
        """(N, C, H, W) -> its shape."""
        return (z - self.shift[:, None, None]) * (-self.log_scale).exp()[:, None, None]


class Mixing(nn.Module):
    """The invertible 1 x 1 convolution, W = P L (U + diag d), a random rotation at first (section 3.2, eq. 10)."""

    def __init__(self, shape):
        super().__init__()
        self.shape, channels = shape, shape[0]
        permutation, lower, upper = torch.linalg.lu(torch.linalg.qr(torch.randn(channels, channels)).Q)
        self.register_buffer("permutation", permutation)
        self.register_buffer("sign", upper.diag().sign())
        self.lower, self.upper = nn.Parameter(lower.tril(-1)), nn.Parameter(upper.triu(1))
        self.log_diagonal = nn.Parameter(upper.diag().abs().log())

    def weight(self):
        """W, (C, C)."""
        lower = self.lower.tril(-1) + torch.eye(len(self.lower), device=self.lower.device, dtype=self.lower.dtype)
        return self.permutation @ (lower @ (self.upper.triu(1) + torch.diag(self.sign * self.log_diagonal.exp())))

    def forward(self, v):
        """(N, C, H, W) -> its shape, log |det|."""
        # In bfloat16 the map would no longer be the one whose determinant is given.
        with torch.autocast(v.device.type, enabled=False):
            z = F.conv2d(v, self.weight()[:, :, None, None])
        return z, self.shape[1] * self.shape[2] * self.log_diagonal.sum()

    def inverse(self, z):
        """(N, C, H, W) -> its shape."""
        return F.conv2d(z, torch.linalg.inv(self.weight().double()).to(z.dtype)[:, :, None, None])


class Coupling(nn.Module):
    """The second part of the channels scaled and shifted by a net of the first (section 3.3)."""

    def __init__(self, shape, first, net):
        super().__init__()
        self.shape, self.sizes, self.net = shape, (first, shape[0] - first), net

    def forward(self, v):
        """(N, C, H, W) -> its shape, log |det| (N,)."""
        a, b = v.split(self.sizes, 1)
        s, t = self._scale_and_shift(a)
        return torch.cat([a, b * s.exp() + t], 1), s.sum((1, 2, 3))

    def inverse(self, z):
        """(N, C, H, W) -> its shape."""
        a, b = z.split(self.sizes, 1)
        s, t = self._scale_and_shift(a)
        return torch.cat([a, (b - t) * (-s).exp()], 1)

    def _scale_and_shift(self, a):
        """s within -2 and 2: no single layer can blow up the flow."""
        s, t = self.net(a).to(a.dtype).chunk(2, dim=1)
        return 2 * torch.tanh(s / 2), t


class Split(nn.Module):
    """Half of the channels leaves the flow, coupled to what goes on by a layer of its own (section 3.6 of RealNVP)."""

    def __init__(self, shape):
        super().__init__()
        self.shape, first = shape, shape[0] - shape[0] // 2
        self.stays, self.leaves = (first, *shape[1:]), (shape[0] - first, *shape[1:])
        self.coupling = Coupling(shape, first, zero_convolution(first, 2 * self.leaves[0]))

    def forward(self, v):
        """(N, C, H, W) -> what goes on, log |det| (N,), what leaves: (N, C / 2, H, W) each."""
        v, log_det = self.coupling(v)
        v, half = v.split(self.coupling.sizes, 1)
        return v, log_det, half

    def inverse(self, v, half):
        """Both halves -> (N, C, H, W)."""
        return self.coupling.inverse(torch.cat([v, half], 1))


class PlaceNet(nn.Module):
    """The net of a coupling: 3 x 3, 1 x 1 and 3 x 3 convolutions, with a bias for each place."""

    def __init__(self, shape, first, hidden, dropout):
        super().__init__()
        self.dropout = Dropout(dropout)
        self.enter, self.middle = nn.Conv2d(first, hidden, 3, padding=1), nn.Conv2d(hidden, hidden, 1)
        self.place = nn.Parameter(torch.zeros(hidden, *shape[1:]))
        self.leave = zero_convolution(hidden, 2 * (shape[0] - first))

    def forward(self, a):
        """(N, first, H, W) -> (N, 2 (C - first), H, W)."""
        a = self.dropout((self.enter(a) + self.place).relu())
        return self.leave(self.dropout(self.middle(a).relu()))


def zero_convolution(channels, outputs):
    """3 x 3, all 0 at first: the coupling begins as the identity."""
    layer = nn.Conv2d(channels, outputs, 3, padding=1)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
