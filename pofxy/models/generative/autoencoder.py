"""Autoencoder: a net through a narrow middle, which learns to give back what it was given.

    minimise  E_x |x - g(f(x))|^2,      z = f(x) of Z dimensions, far fewer than x has

Without the hidden layers the best it can do is principal components; with them the code lies on a curved surface. Nothing says
how codes are distributed: they are left as they come, and between them, or where normal noise falls, the decoder has learned
nothing. So it encodes and reconstructs, and is no law of images that could be sampled; the variational one is.

References: G. E. Hinton, R. R. Salakhutdinov, "Reducing the dimensionality of data with neural networks", Science 2006; the
linear case: P. Baldi, K. Hornik, Neural Networks 1989.
"""

import itertools
import math

import torch
from torch import nn

from pofxy.base.tags import Tags
from pofxy.base.visualization import Visualization
from pofxy.training.trainer import Objective

STEPS_BETWEEN = 8


class Autoencoder(nn.Module):
    """Fully connected, with two hidden layers on each side; of images and of tables in [0, 1].

    Args:
        latent_dim: Z, the dimensions of the code.
        hidden: units of the hidden layer next to the image; the one next to the code has half as many.
        steps: batches to train for.
        batch: images in one.
        learning_rate: at its height, of a cosine schedule.
    """

    tags = Tags(trained_in_steps=True)

    def __init__(self, latent_dim: int = 16, hidden: int = 512, steps: int = 1500, batch: int = 128, learning_rate: float = 2e-3):
        super().__init__()
        self.latent_dim, self.hidden, self.steps, self.batch, self.learning_rate = latent_dim, hidden, steps, batch, learning_rate

    def build(self, spec):
        """Layers for rows or images of D numbers."""
        self.shape, dimensions = spec.shape, math.prod(spec.shape)
        self.encoder = _net(dimensions, self.hidden, self.hidden // 2, self.latent_dim)
        self.decoder = _net(self.latent_dim, self.hidden // 2, self.hidden, dimensions)

    def fit(self, data, trainer):
        """Trains on the train split; keeps the parameters of the lowest error on val."""
        self.build(data.spec)
        objective = Objective(self._loss, self.parameters(), self.learning_rate)
        trainer.run(self, data, [objective], steps=self.steps, batch=self.batch, validate=self._loss, bfloat16=True)

    def encode(self, x):
        """f(x), (N, Z)."""
        return self.encoder(2 * x.flatten(1) - 1)

    def decode(self, z):
        """g(z), clamped to [0, 1], (N, C, H, W) or (N, D), of codes (N, Z)."""
        return self._rows(z).clamp(0, 1).view(len(z), *self.shape)  # (N, D) -> (N, C, H, W)

    def reconstruct(self, x):
        """g(f(x)), clamped to [0, 1]."""
        return self.decode(self.encode(x))

    def picture(self, x, y):
        """From one test image to another on the straight line between their codes."""
        pairs = min(5, len(x) // 2)
        start, end = self.encode(x[: 2 * pairs])[:, None].chunk(2)  # (pairs, 1, Z) each
        share = torch.linspace(0, 1, STEPS_BETWEEN, device=x.device)[:, None]
        images = self.decode((start + share * (end - start)).flatten(0, 1))  # (pairs, steps, Z) -> (pairs steps, Z)
        caption = (
            "Decoded from the straight line between the codes of two test images, one line a row: halfway it is often no digit."
        )
        return Visualization(images.detach(), STEPS_BETWEEN, caption)

    def _loss(self, x, y):
        return (self._rows(self.encode(x)) - x.flatten(1)).square().sum(1).mean()

    def _rows(self, z):
        return self.decoder(z).float() + 0.5  # begins in the middle of the range


def _net(*widths):
    layers = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
