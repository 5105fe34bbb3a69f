"""WGAN-GP: a critic that measures how far the generator's law is from the data's, kept 1-Lipschitz by a penalty on its slope.

    critic:    minimise  E_z f(G(z, y), y) - E_(x,y) f(x, y) + lambda E (|grad f(x')| - 1)^2,    x' = u x + (1 - u) G(z, y)
    generator: minimise  -E_z f(G(z, y), y)

Over all 1-Lipschitz f, the largest E f(x) - E f(G(z)) is the Wasserstein-1 distance of the two laws; it has a gradient even where
they do not overlap. The critic's own estimate of it, too large where its slope exceeds 1, is the curve `wasserstein`. The
penalty is on each image alone, so the critic has no batch normalisation; it takes several steps for one of the generator. Labels
are projected, as in conditional_gan.

References: I. Gulrajani et al., "Improved training of Wasserstein GANs", NIPS 2017, equation 3 and algorithm 1; M. Arjovsky,
S. Chintala, L. Bottou, "Wasserstein generative adversarial networks", ICML 2017.
"""

import torch

from pofxy.base.tags import Tags
from pofxy.nets.adversarial import ConditionalAdversarialNet, squared_slopes
from pofxy.nets.strided import Discriminator, Generator, Projection, layers


class WGANGP(ConditionalAdversarialNet):
    """For images with sides of 8 to 64 pixels.

    Args:
        latent_dim: Z, the dimensions of the noise.
        channels: of the layer next to the image, on both sides; each further layer has twice as many.
        penalty: lambda; the paper has 10.
        penalized: share of a batch that the penalty is taken on.
        critic_steps: steps of the critic for one of the generator.
        ema_decay: decay of the generator's average per step of it.
        steps: batches to train for, each one step of the critic.
        batch: images in one.
        learning_rate: at its height, of a cosine schedule, for both nets.
    """

    tags = Tags(conditional=True, images_only=True, trained_in_steps=True)

    def __init__(
        self,
        latent_dim: int = 64,
        channels: int = 16,
        penalty: float = 1.0,
        penalized: float = 0.25,
        critic_steps: int = 2,
        ema_decay: float = 0.98,
        steps: int = 1400,
        batch: int = 64,
        learning_rate: float = 3e-3,
    ):
        super().__init__()
        self.latent_dim, self.channels, self.penalty, self.penalized = latent_dim, channels, penalty, penalized
        self.generator_every, self.ema_decay = critic_steps, ema_decay
        self.steps, self.batch, self.learning_rate = steps, batch, learning_rate

    def build(self, spec):
        """Nets for images (C, H, W). Raises ValueError where a side is below 8 pixels."""
        inwards = layers(spec, self.channels, "WGANGP")
        features = Discriminator(spec.shape, inwards)
        generator = Generator(self.latent_dim + spec.classes, spec.shape, inwards)
        self.play(spec, generator, Projection(features, features.size, spec.classes))

    def _discriminator_loss(self, x, y):
        real, fake = 2 * x - 1, self._fakes(y)
        # A point on the line between an image and one of the generator's of the same class: there the best critic's slope is 1.
        n = max(1, round(self.penalized * len(x)))
        u = torch.rand(n, *[1] * (x.dim() - 1), device=x.device)
        between = torch.lerp(fake[:n].float(), real[:n], u).requires_grad_()
        scores = self._scores(torch.cat([real, fake, between]), torch.cat([y, y, y[:n]]))
        on_real, on_fake, on_between = scores.split([len(x), len(x), n])
        wasserstein = on_real.mean() - on_fake.mean()
        slope = (squared_slopes(on_between, between) + 1e-12).sqrt()
        penalty = (slope - 1).square().mean()
        return {"loss": self.penalty * penalty - wasserstein, "wasserstein": wasserstein, "slope": slope.mean()}

    def _generator_loss(self, x, y):
        return -self._scores(self.generator(self._inputs(self._noise(len(y)), y)), y).mean()
