"""Dropout by uniform numbers: nn.Dropout's Bernoulli ones take four times as long, which shows in small nets."""

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """In training each feature is zero with probability `share`, and the others grow by as much.

    Args:
        share: of the features that are dropped.
    """

    def __init__(self, share: float):
        super().__init__()
        self.share = share

    def forward(self, h: Tensor) -> Tensor:
        """Features of any shape -> the same shape."""
        if not self.training or not self.share:
            return h
        return h * (torch.rand(h.shape, device=h.device) > self.share) / (1 - self.share)
