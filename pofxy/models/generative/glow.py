"""Glow: a convolutional normalizing flow. Each step rescales the channels, mixes them, and couples one half to the other.

    actnorm            v_c -> exp(s_c) v_c + b_c                     log |det| = H W sum_c s_c
    1 x 1 convolution  v_ij -> W v_ij,  W = P L (U + diag d)         log |det| = H W sum_c log |d_c|
    affine coupling    v_b -> exp(s(v_a)) v_b + t(v_a)               log |det| = sum s(v_a)                  (table 1)

There are several scales. Before the steps of each scale, the pixels of a small square become channels of one location (squeeze).
After them half of the channels leaves the flow, as a Gaussian whose mean and standard deviation depend on the other half, which
goes on (split).

Sides that 2 does not divide are squeezed by 3 or kept as they are: no pixel is added, so the density is exact for any size.
Each pixel first goes through its own distribution function, then through the normal distribution's quantile function
(nets/normalizing_flow.py). The class enters by the base distribution, a Gaussian for each class at all scales. The coupling nets
are smaller than the paper's, and have a bias for each location.

Reference: D. P. Kingma, P. Dhariwal, "Glow: generative flow with invertible 1x1 convolutions", NeurIPS 2018.
https://arxiv.org/abs/1807.03039
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pofxy.base.data import DataSpec
from pofxy.base.hyperparameters import Optimization
from pofxy.base.tags import Tags
from pofxy.nets.dropout import Dropout
from pofxy.nets.normalizing_flow import NormalizingFlow


class Glow(NormalizingFlow):
    """A density over the dequantized pixels.

    Args:
        n_scales: at most so many squeezes; fewer where the image cannot be squeezed further.
        n_flow_steps: steps of flow on each scale.
        hidden: channels of a coupling net's two hidden layers.
        dropout: share of these that are dropped at each location.
        optimization: steps, batch, learning rate and weight decay of AdamW with a cosine schedule.
        temperature: factor of the base distribution's standard deviation in sampling; below 1 images are nearer to the center
            of their class.
    """

    tags = Tags(conditional=True, likelihood="density", images_only=True, trained_in_steps=True)

    def __init__(
        self,
        n_scales: int = 2,
        n_flow_steps: int = 4,
        hidden: int = 32,
        dropout: float = 0.1,
        optimization: Optimization = Optimization(steps=1000, batch=64, learning_rate=6e-3, weight_decay=0.01),
        temperature: float = 1.0,
    ):
        super().__init__(optimization, temperature)
        self.n_scales = n_scales
        self.n_flow_steps = n_flow_steps
        self.hidden = hidden
        self.dropout = dropout

    def build(self, spec: DataSpec) -> None:
        """Makes the layers for images of any size. Raises ValueError for tables and for images of one number."""
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
                # A single channel cannot be coupled: a whole row, or a whole column, becomes one location.
                factors = [1, shape[2]] if shape[2] > 1 else [shape[1], 1]
            if self.stages:
                split = Split(shape)
                self.stages.append(split)
                shape = split.stays
            squeeze = Squeeze(shape, factors)
            self.stages.append(squeeze)
            shape = squeeze.squeezed
            for _ in range(self.n_flow_steps):
                net = CouplingNet(shape, shape[0] // 2, self.hidden, self.dropout)
                self.stages += [ActNorm(shape), InvertibleConvolution(shape), AffineCoupling(shape, shape[0] // 2, net)]

    def initialize(self, v: Tensor) -> None:
        """Sets the parameters of actnorm, layer by layer, from a first batch v (N, D)."""
        v = v.view(-1, *self.shape)  # (N, D) -> (N, C, H, W)
        for stage in self.stages:
            if isinstance(stage, ActNorm):
                stage.initialize(v)
            v, *_ = stage(v)

    def to_base(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """v (N, D) -> z (N, D), what leaves the flow last comes first; log |det dz/dv| (N,)."""
        log_det = v.new_zeros(len(v))
        leaving = []
        v = v.view(-1, *self.shape)  # (N, D) -> (N, C, H, W)
        for stage in self.stages:
            v, term, *half = stage(v)
            log_det = log_det + term
            leaving += half
        return torch.cat([part.flatten(1) for part in [v, *reversed(leaving)]], 1), log_det  # of (N, C', H', W') -> (N, D)

    def from_base(self, z: Tensor) -> Tensor:
        """z (N, D) -> v (N, D)."""
        splits = [stage for stage in reversed(self.stages) if isinstance(stage, Split)]
        shapes = [self.stages[-1].shape, *(split.leaves for split in splits)]
        parts = z.split([math.prod(shape) for shape in shapes], 1)
        v, *halves = (part.view(-1, *shape) for part, shape in zip(parts, shapes, strict=True))  # -> (N, C', H', W') each
        stage: Any  # the signatures of `inverse` differ
        for stage in reversed(self.stages):
            v = stage.inverse(v, halves.pop(0)) if stage in splits else stage.inverse(v)
        return v.flatten(1)


class Squeeze(nn.Module):
    """Rectangles of pixels become channels of one location (RealNVP, section 3.6).

    Args:
        shape: (C, H, W) of the input.
        factors: height a and width b of a rectangle; they divide H and W.
    """

    def __init__(self, shape: tuple[int, ...], factors: list[int]):
        super().__init__()
        self.shape = shape
        self.factors = factors
        self.squeezed = (shape[0] * math.prod(factors), shape[1] // factors[0], shape[2] // factors[1])

    def forward(self, v: Tensor) -> tuple[Tensor, float]:
        """(N, C, H, W) -> (N, C a b, H / a, W / b), 0."""
        v = v.unflatten(3, (-1, self.factors[1])).unflatten(2, (-1, self.factors[0]))  # (N, C, H/a, a, W/b, b)
        return v.permute(0, 1, 3, 5, 2, 4).flatten(1, 3), 0.0

    def inverse(self, z: Tensor) -> Tensor:
        """(N, C a b, H / a, W / b) -> (N, C, H, W)."""
        z = z.unflatten(1, (-1, *self.factors))  # (N, C, a, b, H/a, W/b)
        return z.permute(0, 1, 4, 2, 5, 3).flatten(4, 5).flatten(2, 3)


class ActNorm(nn.Module):
    """A scale and a shift for each channel, initialized so that the first batch has mean 0 and variance 1 (section 3.1).

    They are parameters: a saved model and a checkpoint contain them, and no flag is needed for whether they were initialized.

    Args:
        shape: (C, H, W) of the input.
    """

    def __init__(self, shape: tuple[int, ...]):
        super().__init__()
        self.shape = shape
        self.log_scale = nn.Parameter(torch.zeros(shape[0]))
        self.shift = nn.Parameter(torch.zeros(shape[0]))

    def initialize(self, v: Tensor) -> None:
        """From a first batch v (N, C, H, W)."""
        std = v.std((0, 2, 3), correction=0).clamp(min=1e-2)
        self.log_scale.data = -std.log()
        self.shift.data = -v.mean((0, 2, 3)) / std

    def forward(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) -> its shape, log |det|."""
        locations = self.shape[1] * self.shape[2]
        return v * self.log_scale.exp()[:, None, None] + self.shift[:, None, None], locations * self.log_scale.sum()

    def inverse(self, z: Tensor) -> Tensor:
        """(N, C, H, W) -> its shape."""
        return (z - self.shift[:, None, None]) * (-self.log_scale).exp()[:, None, None]


class InvertibleConvolution(nn.Module):
    """The invertible 1 x 1 convolution, W = P L (U + diag d), initialized as a random rotation (section 3.2, eq. 10).

    Args:
        shape: (C, H, W) of the input.
    """

    permutation: Tensor
    sign: Tensor

    def __init__(self, shape: tuple[int, ...]):
        super().__init__()
        self.shape = shape
        channels = shape[0]
        permutation, lower, upper = torch.linalg.lu(torch.linalg.qr(torch.randn(channels, channels)).Q)
        self.register_buffer("permutation", permutation)
        self.register_buffer("sign", upper.diag().sign())
        self.lower = nn.Parameter(lower.tril(-1))
        self.upper = nn.Parameter(upper.triu(1))
        self.log_diagonal = nn.Parameter(upper.diag().abs().log())

    def weight(self) -> Tensor:
        """W, (C, C)."""
        lower = self.lower.tril(-1) + torch.eye(len(self.lower), device=self.lower.device, dtype=self.lower.dtype)
        return self.permutation @ (lower @ (self.upper.triu(1) + torch.diag(self.sign * self.log_diagonal.exp())))

    def forward(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) -> its shape, log |det|."""
        # Not in bfloat16: with a rounded W the determinant would be that of another map.
        with torch.autocast(v.device.type, enabled=False):
            z = F.conv2d(v, self.weight()[:, :, None, None])
        return z, self.shape[1] * self.shape[2] * self.log_diagonal.sum()

    def inverse(self, z: Tensor) -> Tensor:
        """(N, C, H, W) -> its shape."""
        return F.conv2d(z, torch.linalg.inv(self.weight().double()).to(z.dtype)[:, :, None, None])


class AffineCoupling(nn.Module):
    """The second part of the channels is scaled and shifted by a net of the first part (section 3.3).

    Args:
        shape: (C, H, W).
        first: channels of the first part.
        net: (N, first, H, W) -> (N, 2 (C - first), H, W).
    """

    def __init__(self, shape: tuple[int, ...], first: int, net: nn.Module):
        super().__init__()
        self.shape = shape
        self.sizes = (first, shape[0] - first)
        self.net = net

    def forward(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) -> its shape, log |det| (N,)."""
        a, b = v.split(self.sizes, 1)
        s, t = self._scale_and_shift(a)
        return torch.cat([a, b * s.exp() + t], 1), s.sum((1, 2, 3))

    def inverse(self, z: Tensor) -> Tensor:
        """(N, C, H, W) -> its shape."""
        a, b = z.split(self.sizes, 1)
        s, t = self._scale_and_shift(a)
        return torch.cat([a, (b - t) * (-s).exp()], 1)

    def _scale_and_shift(self, a):
        """s lies within -2 and 2, so that no single layer makes the flow diverge."""
        s, t = self.net(a).to(a.dtype).chunk(2, dim=1)
        return 2 * torch.tanh(s / 2), t


class Split(nn.Module):
    """Half of the channels leaves the flow, after a coupling layer conditioned on the other half (RealNVP, section 3.6).

    Args:
        shape: (C, H, W) of the input.
    """

    def __init__(self, shape: tuple[int, ...]):
        super().__init__()
        self.shape = shape
        first = shape[0] - shape[0] // 2
        self.stays = (first, *shape[1:])
        self.leaves = (shape[0] - first, *shape[1:])
        self.coupling = AffineCoupling(shape, first, zero_convolution(first, 2 * self.leaves[0]))

    def forward(self, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, C, H, W) -> what goes on, log |det| (N,), what leaves: (N, C / 2, H, W) each."""
        v, log_det = self.coupling(v)
        v, half = v.split(self.coupling.sizes, 1)
        return v, log_det, half

    def inverse(self, v: Tensor, half: Tensor) -> Tensor:
        """Both halves -> (N, C, H, W)."""
        return self.coupling.inverse(torch.cat([v, half], 1))


class CouplingNet(nn.Module):
    """The net of a coupling layer: 3 x 3, 1 x 1 and 3 x 3 convolutions, with a bias for each location.

    Args:
        shape: (C, H, W) of the coupling layer's input.
        first: channels that the net sees.
        hidden: channels of the hidden layers.
        dropout: share of them that are dropped at each location.
    """

    def __init__(self, shape: tuple[int, ...], first: int, hidden: int, dropout: float):
        super().__init__()
        self.dropout = Dropout(dropout)
        self.enter = nn.Conv2d(first, hidden, 3, padding=1)
        self.middle = nn.Conv2d(hidden, hidden, 1)
        self.place = nn.Parameter(torch.zeros(hidden, *shape[1:]))
        self.leave = zero_convolution(hidden, 2 * (shape[0] - first))

    def forward(self, a: Tensor) -> Tensor:
        """(N, first, H, W) -> (N, 2 (C - first), H, W)."""
        a = self.dropout((self.enter(a) + self.place).relu())
        return self.leave(self.dropout(self.middle(a).relu()))


def zero_convolution(channels: int, outputs: int) -> nn.Conv2d:
    """A 3 x 3 convolution initialized to 0, so that the coupling starts as the identity."""
    layer = nn.Conv2d(channels, outputs, 3, padding=1)
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer
