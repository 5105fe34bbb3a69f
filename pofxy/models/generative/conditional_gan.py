"""Conditional GAN: a generator that is given the class to draw, and a discriminator that knows which class an image should be.

    discriminator: minimise  E_(x,y) softplus(-D(x, y)) + E_(z,y) softplus(D(G(z, y), y)) + gamma/2 E |grad_x D(x, y)|^2
    generator:     minimise  E_(z,y) softplus(-D(G(z, y), y)),             D(x, y) = v_y . phi(x) + psi(phi(x))

The label enters the generator beside the noise, one of K numbers being 1. In the discriminator it is projected: where the
log-odds of two classes are linear in features of the image, the label's part is an inner product with a vector v_y of its own.
The nets are DCGAN's.

References: M. Mirza, S. Osindero, "Conditional generative adversarial nets", arXiv 1411.1784, 2014, equation 2; the projection:
T. Miyato, M. Koyama, "cGANs with projection discriminator", ICLR 2018, equation 3; R1: L. Mescheder, A. Geiger, S. Nowozin,
ICML 2018.
"""

from pofxy.base.tags import Tags
from pofxy.nets.adversarial import ConditionalAdversarialNet
from pofxy.nets.strided import Discriminator, Generator, Projection, layers


class ConditionalGAN(ConditionalAdversarialNet):
    """For images with sides of 8 to 64 pixels.

    Args:
        latent_dim: Z, the dimensions of the noise.
        channels: of the layer next to the image, on both sides; each further layer has twice as many.
        penalty: gamma of R1, taken every fourth step with four times its weight.
        ema_decay: decay of the generator's average per step.
        steps: batches to train for.
        batch: images in one.
        learning_rate: at its height, of a cosine schedule, for both nets.
    """

    tags = Tags(conditional=True, images_only=True, trained_in_steps=True)

    def __init__(
        self,
        latent_dim: int = 64,
        channels: int = 16,
        penalty: float = 0.1,
        ema_decay: float = 0.995,
        steps: int = 1400,
        batch: int = 64,
        learning_rate: float = 2e-3,
    ):
        super().__init__()
        self.latent_dim, self.channels, self.penalty, self.ema_decay = latent_dim, channels, penalty, ema_decay
        self.steps, self.batch, self.learning_rate = steps, batch, learning_rate

    def build(self, spec):
        """Nets for images (C, H, W). Raises ValueError where a side is below 8 pixels."""
        inwards = layers(spec, self.channels, "ConditionalGAN")
        features = Discriminator(spec.shape, inwards)
        generator = Generator(self.latent_dim + spec.classes, spec.shape, inwards)
        self.play(spec, generator, Projection(features, features.size, spec.classes))
