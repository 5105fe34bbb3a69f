"""Noise: every image is as likely as any other. What has learned nothing at all.

p(x) = L^-D,      of a table the density 1 on [0, 1]^D
"""

import math

import torch
from torch import nn

from pofxy.base.tags import Tags


class Noise(nn.Module):
    """An exact mass over L-level images, or a density over tables, without classes."""

    def build(self, spec):
        """Only the shape is known."""
        self.shape, self.levels = spec.shape, spec.levels
        self.tags = Tags(likelihood="density" if spec.levels is None else "mass")

    def fit(self, data, trainer):
        """There is nothing to fit."""
        self.build(data.spec)

    def log_prob(self, x):
        """log p(x) in nats, (N,): the same for each x."""
        nats = 0.0 if self.levels is None else -math.prod(self.shape) * math.log(self.levels)
        return torch.full((len(x),), nats, device=x.device)

    def sample(self, n, labels=None):
        """n images of independent uniform grey levels, (n, C, H, W), or uniform rows, (n, D)."""
        if self.levels is None:
            return torch.rand(n, *self.shape)
        return torch.randint(self.levels, (n, *self.shape)) / (self.levels - 1)
