"""Noise: the uniform distribution over images. The baseline that has learned nothing.

p(x) = L^-D for images of L gray levels;      for a table, the density 1 on [0, 1]^D
"""

import math

import torch
from torch import Tensor, nn

from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.tags import Tags


class Noise(nn.Module):
    """An exact mass over L-level images, or a density over tables, without classes."""

    def build(self, spec: DataSpec) -> None:
        """Stores the shape and the number of gray levels."""
        self.shape = spec.shape
        self.levels = spec.levels
        self.tags = Tags(likelihood="density" if spec.levels is None else "mass")

    def fit(self, data: TrainingData, trainer: object) -> None:
        """There is nothing to fit; `trainer` is not used."""
        self.build(data.spec)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats, (N,): the same for each x."""
        nats = 0.0 if self.levels is None else -math.prod(self.shape) * math.log(self.levels)
        return torch.full((len(x),), nats, device=x.device)

    def sample(self, n: int, labels: Tensor | None = None) -> Tensor:
        """n images of independent uniform gray levels, (n, C, H, W), or n uniform rows, (n, D); labels are not used."""
        if self.levels is None:
            return torch.rand(n, *self.shape)
        return torch.randint(self.levels, (n, *self.shape)) / (self.levels - 1)
