"""Denoising autoencoder: an autoencoder that is given a corrupted image and trained to reconstruct the clean one.

    minimize  E_x E_q(x~|x) |x - g(f(x~))|^2,      x~ = m * (x + s e),   e ~ N(0, I),   m_d = 0 with probability p     (eq. 4)

The latent space may have as many dimensions as the image, or more: copying the input does not help, because the clean image is
not in the input. The model learns the direction towards the data: for small Gaussian noise, g(f(x~)) - x~ points along the
gradient of log p (Vincent 2011).

References:
    P. Vincent, H. Larochelle, Y. Bengio, P.-A. Manzagol, "Extracting and composing robust features with denoising autoencoders",
    ICML 2008. https://doi.org/10.1145/1390156.1390294
    Gaussian and masking noise: P. Vincent et al., "Stacked denoising autoencoders", JMLR 11, 2010, section 3.3.
    https://jmlr.org/papers/v11/vincent10a.html
    P. Vincent, "A connection between score matching and denoising autoencoders", Neural Computation 23(7), 2011.
    https://doi.org/10.1162/NECO_a_00142
"""

import math

import torch
from torch import Tensor, nn

from pofxy.base.data import DataSpec
from pofxy.base.hyperparameters import Optimization
from pofxy.base.tags import Tags
from pofxy.base.visualization import Visualization
from pofxy.nets.encoder_decoder import EncoderDecoder

# Images in the picture.
PICTURED = 10
# After about ten rounds the result changes little.
INPAINTING_ROUNDS = 20


class DenoisingAutoencoder(EncoderDecoder):
    """Fully connected, with one hidden layer on each side; for images and tables in [0, 1].

    Args:
        latent_dim: Z, dimension of the latent space.
        hidden: units of each hidden layer.
        noise: s, the largest standard deviation of the Gaussian noise; each image has its own, uniform in [0, s].
        masked: p, the largest share of numbers that are set to 0; each image has its own, uniform in [0, p].
        optimization: steps, batch, learning rate and weight decay; the schedule is a cosine.
    """

    tags = Tags(trained_in_steps=True, inpainting_passes=20)

    def __init__(
        self,
        latent_dim: int = 128,
        hidden: int = 512,
        noise: float = 0.4,
        masked: float = 0.5,
        optimization: Optimization = Optimization(steps=1500, batch=128, learning_rate=2e-3),
    ):
        super().__init__(latent_dim, hidden, optimization)
        self.noise = noise
        self.masked = masked

    def build(self, spec: DataSpec) -> None:
        """Layers for rows or images of D numbers."""
        self.shape = spec.shape
        dimensions = math.prod(spec.shape)
        self.encoder = nn.Sequential(nn.Linear(dimensions, self.hidden), nn.ReLU(), nn.Linear(self.hidden, self.latent_dim))
        self.decoder = nn.Sequential(
            nn.ReLU(),
            nn.Linear(self.latent_dim, self.hidden),
            nn.ReLU(),
            nn.Linear(self.hidden, dimensions),
        )

    def inpaint(self, x: Tensor, mask: Tensor) -> Tensor:
        """Fills in unknown numbers (mask 0): they start at 0, like masking noise; reconstructions replace them, repeatedly."""
        known = mask.bool()
        filled = torch.where(known, x, 0)
        for _ in range(INPAINTING_ROUNDS):
            filled = torch.where(known, x, self.reconstruct(filled))
        return filled

    def picture(self, x: Tensor, y: Tensor) -> Visualization:
        """Corrupted test images and their reconstructions."""
        clean = x[:PICTURED]
        corrupted = self._corrupt(clean)
        images = torch.cat([clean, corrupted.clamp(0, 1), self.reconstruct(corrupted)]).detach()
        caption = "Test images, the same images with the noise of the training, and their reconstructions."
        return Visualization(images, len(clean), caption)

    def _loss(self, x, y):
        return (self._decode_rows(self.encode(self._corrupt(x))) - x.flatten(1)).square().sum(1).mean()

    def _corrupt(self, x):
        strength = torch.rand(2, len(x), *[1] * (x.ndim - 1), device=x.device)  # (2, N, 1, 1, 1)
        mask = torch.rand_like(x) >= self.masked * strength[0]
        return (x + self.noise * strength[1] * torch.randn_like(x)) * mask
