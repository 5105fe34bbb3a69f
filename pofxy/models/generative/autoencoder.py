"""Autoencoder: an encoder and a decoder with a narrow latent layer between them, trained to reconstruct the input.

    minimize  E_x |x - g(f(x))|^2,      z = f(x) of Z dimensions, far fewer than x has

Without hidden layers the optimum is the subspace of principal components; with them the latents lie on a curved surface. Nothing
constrains the distribution of the latents, and the decoder is not trained between them or on normal noise. So the model encodes
and reconstructs, but it is not a distribution that can be sampled; the variational autoencoder (VAE) is.

References:
    G. E. Hinton, R. R. Salakhutdinov, "Reducing the dimensionality of data with neural networks", Science 313, 2006.
    https://doi.org/10.1126/science.1127647
    The linear case: P. Baldi, K. Hornik, "Neural networks and principal component analysis", Neural Networks 2(1), 1989.
    https://doi.org/10.1016/0893-6080(89)90014-2
"""

import itertools
import math

import torch
from torch import Tensor, nn

from pofxy.base.data import DataSpec
from pofxy.base.hyperparameters import Optimization
from pofxy.base.tags import Tags
from pofxy.base.visualization import Visualization
from pofxy.nets.encoder_decoder import EncoderDecoder

# Images on a line in the picture.
INTERPOLATION_STEPS = 8


class Autoencoder(EncoderDecoder):
    """Fully connected, with two hidden layers on each side; for images and tables in [0, 1].

    Args:
        latent_dim: Z, dimension of the latent space.
        hidden: units of the hidden layer next to the image; the one next to the latents has half as many.
        optimization: steps, batch, learning rate and weight decay; the schedule is a cosine.
    """

    tags = Tags(trained_in_steps=True)

    def __init__(
        self,
        latent_dim: int = 16,
        hidden: int = 512,
        optimization: Optimization = Optimization(steps=1500, batch=128, learning_rate=2e-3),
    ):
        super().__init__(latent_dim, hidden, optimization)

    def build(self, spec: DataSpec) -> None:
        """Layers for rows or images of D numbers."""
        self.shape = spec.shape
        dimensions = math.prod(spec.shape)
        self.encoder = _layers(dimensions, self.hidden, self.hidden // 2, self.latent_dim)
        self.decoder = _layers(self.latent_dim, self.hidden // 2, self.hidden, dimensions)

    def picture(self, x: Tensor, y: Tensor) -> Visualization:
        """Interpolation between test images on the straight line between their latents."""
        pairs = min(5, len(x) // 2)
        start, end = self.encode(x[: 2 * pairs])[:, None].chunk(2)  # (pairs, 1, Z) each
        share = torch.linspace(0, 1, INTERPOLATION_STEPS, device=x.device)[:, None]
        images = self.decode((start + share * (end - start)).flatten(0, 1))  # (pairs, steps, Z) -> (pairs steps, Z)
        caption = (
            "Each row decodes the straight line between the latents of two test images. Halfway there is often no valid image."
        )
        return Visualization(images.detach(), INTERPOLATION_STEPS, caption)

    def _loss(self, x, y):
        return (self._decode_rows(self.encode(x)) - x.flatten(1)).square().sum(1).mean()


def _layers(*widths):
    layers = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
