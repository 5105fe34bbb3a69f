"""Dropout with a mask of uniform random numbers.

nn.Dropout samples Bernoulli numbers, which takes twice as long; in small nets this matters.
"""

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """In training, sets each feature to zero with probability `share` and multiplies the others by 1 / (1 - share).

    Args:
        share: probability that a feature is dropped.
    """

    def __init__(self, share: float):
        super().__init__()
        self.share = share

    def forward(self, h: Tensor) -> Tensor:
        """Features of any shape -> the same shape."""
        if not self.training or not self.share:
            return h
        # The mask is computed in place and has the type of h: forward and backward are then one product each.
        mask = torch.rand(h.shape, device=h.device).gt_(self.share).mul_(1 / (1 - self.share))
        return h * mask.to(h.dtype)
