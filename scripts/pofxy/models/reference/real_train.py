"""Real images: the floor of every distance. It draws from the train split, which is as far from the test split as real is."""

import torch
from torch import nn


class RealTrain(nn.Module):
    """Draws from the train split without replacement.

    Args:
        kept: images of the train split that are kept to draw from, at random.
    """

    def __init__(self, kept: int = 10_000):
        super().__init__()
        self.kept = kept

    def build(self, spec):
        """Buffers whose sizes are those of what was kept."""
        self.register_buffer("images", torch.empty(0))

    def fit(self, data, trainer):
        """Keeps images, (kept, C, H, W)."""
        self.build(data.spec)
        self.images = data.x[torch.randperm(len(data.x))[: self.kept]]

    def sample(self, n, labels=None):
        """n of the images kept, (n, C, H, W): each at most once as long as there are enough."""
        order = torch.cat([torch.randperm(len(self.images)) for _ in range(-(-n // len(self.images)))])
        return self.images[order[:n]]
