"""DCGAN: a generator of transposed convolutions against a discriminator of strided ones.

    discriminator: minimise  E_x softplus(-D(x)) + E_z softplus(D(G(z))) + gamma/2 E_x |grad_x D(x)|^2
    generator:     minimise  E_z softplus(-D(G(z)))                        (the non-saturating form)

As in the paper: no pooling and no hidden fully connected layer, batch normalisation and ReLU in the generator, leaky ReLU in the
discriminator, tanh at the end. The gradient penalty R1 takes the place of the discriminator's batch normalisation, which makes
the game converge, and an average of the generator's parameters over the last steps is what samples.

References: A. Radford, L. Metz, S. Chintala, "Unsupervised representation learning with deep convolutional generative
adversarial networks", ICLR 2016; R1: L. Mescheder, A. Geiger, S. Nowozin, ICML 2018.
"""

from torch import nn

from pofxy.base.tags import Tags
from pofxy.nets.adversarial import AdversarialNet
from pofxy.nets.strided import Discriminator, Generator, layers


class DCGAN(AdversarialNet):
    """Unconditional, for images with sides of 8 to 64 pixels.

    Args:
        latent_dim: Z, the dimensions of the noise.
        channels: of the layer next to the image, on both sides; each further layer has twice as many.
        penalty: gamma of R1, taken every fourth step with four times its weight.
        ema_decay: decay of the generator's average per step.
        steps: batches to train for.
        batch: images in one.
        learning_rate: at its height, of a cosine schedule, for both nets.
    """

    tags = Tags(images_only=True, trained_in_steps=True)

    def __init__(
        self,
        latent_dim: int = 16,
        channels: int = 16,
        penalty: float = 0.02,
        ema_decay: float = 0.99,
        steps: int = 1300,
        batch: int = 64,
        learning_rate: float = 2e-3,
    ):
        super().__init__()
        self.latent_dim, self.channels, self.penalty, self.ema_decay = latent_dim, channels, penalty, ema_decay
        self.steps, self.batch, self.learning_rate = steps, batch, learning_rate

    def build(self, spec):
        """Nets for images (C, H, W). Raises ValueError where a side is below 8 pixels."""
        inwards = layers(spec, self.channels, "DCGAN")
        features = Discriminator(spec.shape, inwards)
        generator = Generator(self.latent_dim, spec.shape, inwards)
        self.play(spec, generator, nn.Sequential(features, nn.Linear(features.size, 1)))
