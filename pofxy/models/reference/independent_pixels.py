"""Independent pixels: the ceiling of every distance. Each pixel has the right law by itself, and knows nothing of the others.

    p(x) = prod_d p_d(x_d),      p_d the histogram of the L grey levels of pixel d in the train split, one count added to each

Whoever does not beat it has learned less than the mean image and its contrast.
"""

import math

import torch
from torch import nn

from pofxy.base.tags import Tags


class IndependentPixels(nn.Module):
    """An exact mass over L-level images, without classes."""

    tags = Tags(images_only=True)

    def build(self, spec):
        """Buffers for D pixels of L levels. Raises ValueError for tables."""
        if spec.levels is None:
            raise ValueError(f"{spec.name}: independent pixels need grey levels, and a table has none")
        self.shape, self.levels = spec.shape, spec.levels
        self.register_buffer("probability", torch.full((math.prod(spec.shape), spec.levels), 1 / spec.levels))  # (D, L)

    def fit(self, data, trainer):
        """Counts grey levels."""
        self.build(data.spec)
        counts = torch.ones_like(self.probability)
        for x in data.x.split(4096):
            counts.scatter_add_(1, self._levels_of(x).T, torch.ones(counts.shape[0], len(x)))
        self.probability = counts / counts.sum(1, keepdim=True)

    def log_prob(self, x):
        """log p(x) in nats, (N,): exact, a mass over L-level images."""
        q = self._levels_of(x)  # (N, D)
        return self.probability.log().T.gather(0, q).sum(1)  # (L, D) at [q_nd, d] -> (N, D) -> (N,)

    def sample(self, n, labels=None):
        """n images, (n, C, H, W)."""
        q = torch.multinomial(self.probability, n, replacement=True).T  # (D, n) -> (n, D)
        return (q / (self.levels - 1)).view(n, *self.shape)

    def inpaint(self, x, mask):
        """The mean of each pixel where the mask is 0: nothing is learned from the pixels that are known. Shape of x."""
        grey = torch.arange(self.levels, device=x.device) / (self.levels - 1)  # (L,)
        mean = (self.probability @ grey).clamp(0, 1).view(self.shape)  # (D,) -> (C, H, W)
        return x.where(mask.bool(), mean)

    def _levels_of(self, x):
        return (x.flatten(1) * (self.levels - 1)).round().long()  # (N, D)
