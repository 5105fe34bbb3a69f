"""Independent pixels: every pixel has the right distribution by itself, and no pixel depends on another.

    p(x) = prod_d p_d(x_d),      p_d the histogram of the L gray levels of pixel d in the train split, one count added to each

The ceiling (upper limit) of every distance: a model that does not beat it has learned no useful dependence between pixels.
"""

import math

import torch
from torch import Tensor, nn

from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.tags import Tags


class IndependentPixels(nn.Module):
    """An exact mass over L-level images, without classes."""

    tags = Tags(images_only=True)
    probability: Tensor

    def build(self, spec: DataSpec) -> None:
        """Makes the buffers for D pixels of L levels. Raises ValueError for tables."""
        if spec.levels is None:
            raise ValueError(f"{spec.name}: independent_pixels needs gray levels, and a table has none")
        self.shape = spec.shape
        self.levels = spec.levels
        self.register_buffer("probability", torch.full((math.prod(spec.shape), spec.levels), 1 / spec.levels))  # (D, L)

    def fit(self, data: TrainingData, trainer: object) -> None:
        """Counts the gray levels of each pixel; `trainer` is not used."""
        self.build(data.spec)
        counts = torch.ones_like(self.probability)
        for x in data.x.split(4096):
            counts.scatter_add_(1, self._quantize(x).T, torch.ones(counts.shape[0], len(x)))
        self.probability = counts / counts.sum(1, keepdim=True)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats, (N,): exact, a mass over L-level images."""
        q = self._quantize(x)  # (N, D)
        return self.probability.log().T.gather(0, q).sum(1)  # (L, D) at [q_nd, d] -> (N, D) -> (N,)

    def sample(self, n: int, labels: Tensor | None = None) -> Tensor:
        """n images, (n, C, H, W); labels are not used."""
        q = torch.multinomial(self.probability, n, replacement=True).T  # (D, n) -> (n, D)
        return (q / (self.levels - 1)).view(n, *self.shape)

    def inpaint(self, x: Tensor, mask: Tensor) -> Tensor:
        """The mean of each pixel where the mask is 0, whatever the known pixels are. Shape of x."""
        gray = torch.arange(self.levels, device=x.device) / (self.levels - 1)  # (L,)
        mean = (self.probability @ gray).clamp(0, 1).view(self.shape)  # (D,) -> (C, H, W)
        return x.where(mask.bool(), mean)

    def _quantize(self, x: Tensor) -> Tensor:
        return (x.flatten(1) * (self.levels - 1)).round().long()  # (N, C, H, W) -> (N, D), in 0..L-1
