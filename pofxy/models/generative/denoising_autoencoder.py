"""Denoising autoencoder: it is given a spoilt image and learns to give back the clean one.

    minimise  E_x E_q(x~|x) |x - g(f(x~))|^2,      x~ = m * (x + s e),   e ~ N(0, I),   m_d = 0 with probability p     (eq. 4)

The code may have as many dimensions as the image, or more: copying is of no use, since what is asked for is not in the input.
What it learns is the way back to where images lie: g(f(x~)) - x~ points uphill on log p, as P. Vincent showed in 2011.

References: P. Vincent, H. Larochelle, Y. Bengio, P.-A. Manzagol, "Extracting and composing robust features with denoising
autoencoders", ICML 2008; Gaussian beside masking noise: P. Vincent et al., JMLR 2010, section 3.3.
"""

import math

import torch
from torch import nn

from pofxy.base.tags import Tags
from pofxy.base.visualization import Visualization
from pofxy.training.trainer import Objective

PICTURED = 10
# After some ten, the filling moves little.
INPAINTING_ROUNDS = 20


class DenoisingAutoencoder(nn.Module):
    """Fully connected, one hidden layer on each side of the code; of images and of tables in [0, 1].

    Args:
        latent_dim: Z, the dimensions of the code.
        hidden: units of each hidden layer.
        noise: s, the largest standard deviation of the Gaussian noise; each image has one from 0 to it.
        masked: p, the largest share of numbers that are set to 0; each image has one from 0 to it.
        steps: batches to train for.
        batch: images in one.
        learning_rate: at its height, of a cosine schedule.
    """

    tags = Tags(trained_in_steps=True)

    def __init__(
        self,
        latent_dim: int = 128,
        hidden: int = 512,
        noise: float = 0.4,
        masked: float = 0.5,
        steps: int = 1500,
        batch: int = 128,
        learning_rate: float = 2e-3,
    ):
        super().__init__()
        self.latent_dim, self.hidden, self.noise, self.masked = latent_dim, hidden, noise, masked
        self.steps, self.batch, self.learning_rate = steps, batch, learning_rate

    def build(self, spec):
        """Layers for rows or images of D numbers."""
        self.shape, dimensions = spec.shape, math.prod(spec.shape)
        self.encoder = nn.Sequential(nn.Linear(dimensions, self.hidden), nn.ReLU(), nn.Linear(self.hidden, self.latent_dim))
        self.decoder = nn.Sequential(
            nn.ReLU(), nn.Linear(self.latent_dim, self.hidden), nn.ReLU(), nn.Linear(self.hidden, dimensions)
        )

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
        """g(f(x)), clamped to [0, 1]: x without its noise."""
        return self.decode(self.encode(x))

    def inpaint(self, x, mask):
        """Unknown numbers (mask 0) are masking noise: set to 0, denoised, what is known put back, and again."""
        known = mask.bool()
        filled = torch.where(known, x, 0)
        for _ in range(INPAINTING_ROUNDS):
            filled = torch.where(known, x, self.reconstruct(filled))
        return filled

    def picture(self, x, y):
        """Spoilt test images and what becomes of them."""
        clean = x[:PICTURED]
        spoilt = self._spoilt(clean)
        images = torch.cat([clean, spoilt.clamp(0, 1), self.reconstruct(spoilt)]).detach()
        return Visualization(images, len(clean), "Test images, the same with noise as in training, and what it makes of those.")

    def _loss(self, x, y):
        return (self._rows(self.encode(self._spoilt(x))) - x.flatten(1)).square().sum(1).mean()

    def _spoilt(self, x):
        strength = torch.rand(2, len(x), *[1] * (x.ndim - 1), device=x.device)  # (2, N, 1, 1, 1)
        kept = torch.rand_like(x) >= self.masked * strength[0]
        return (x + self.noise * strength[1] * torch.randn_like(x)) * kept

    def _rows(self, z):
        return self.decoder(z).float() + 0.5  # begins in the middle of the range
