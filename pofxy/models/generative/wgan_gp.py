"""WGAN-GP: a Wasserstein generative adversarial network (GAN) with gradient penalty.

    critic:    minimize  E_z f(G(z, y), y) - E_(x,y) f(x, y) + lambda E (|grad f(x')| - 1)^2,    x' = u x + (1 - u) G(z, y)
    generator: minimize  -E_z f(G(z, y), y)

Over all 1-Lipschitz f, the maximum of E f(x) - E f(G(z)) is the Wasserstein-1 distance between the distribution of the data and
that of the generator. It has a useful gradient even where the two do not overlap. The penalty keeps the critic f near
1-Lipschitz. The curve `wasserstein` is the critic's estimate of the distance, which is too large where the slope exceeds 1. The
penalty applies to each image alone, so the critic has no batch normalization. The critic takes several steps for each step of
the generator. Labels enter by projection, as in conditional_gan.

References:
    I. Gulrajani et al., "Improved training of Wasserstein GANs", NIPS 2017, equation 3 and algorithm 1.
    https://arxiv.org/abs/1704.00028
    M. Arjovsky, S. Chintala, L. Bottou, "Wasserstein generative adversarial networks", ICML 2017.
    https://arxiv.org/abs/1701.07875
"""

import torch

from pofxy.base.data import DataSpec
from pofxy.base.hyperparameters import Optimization
from pofxy.base.tags import Tags
from pofxy.nets.adversarial import ConditionalAdversarialNet, squared_gradient_norm
from pofxy.nets.strided import DCGANDiscriminator, DCGANGenerator, ProjectionDiscriminator, conv_layers


class WGANGP(ConditionalAdversarialNet):
    """For images with sides of 8 to 64 pixels.

    Args:
        latent_dim: Z, dimension of the noise.
        channels: of the layer next to the image, in both nets; each further layer has twice as many.
        penalty: lambda; the paper has 10.
        penalized: share of a batch on which the penalty is taken.
        critic_steps: steps of the critic for each step of the generator.
        ema_decay: decay of the EMA of the generator's parameters, per step of the generator.
        optimization: steps of the critic, batch, learning rate and weight decay, for both nets; the schedule is a cosine.
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
        optimization: Optimization = Optimization(steps=1400, batch=64, learning_rate=3e-3),
    ):
        super().__init__(latent_dim, penalty, ema_decay, optimization)
        self.channels = channels
        self.penalized = penalized
        self.discriminator_steps = critic_steps

    def build(self, spec: DataSpec) -> None:
        """Nets for images (C, H, W). Raises ValueError where a side is below 8 pixels."""
        layers = conv_layers(spec, self.channels, "WGANGP")
        features = DCGANDiscriminator(spec.shape, layers)
        generator = DCGANGenerator(self.latent_dim + spec.classes, spec.shape, layers)
        self.register_nets(spec, generator, ProjectionDiscriminator(features, spec.classes))

    def _discriminator_loss(self, x, y):
        real = 2 * x - 1
        fake = self._sample_fakes(y)
        # x': a point on the line between an image and a generated one of the same class, where the optimal critic has slope 1.
        n = max(1, round(self.penalized * len(x)))
        u = torch.rand(n, *[1] * (x.dim() - 1), device=x.device)
        between = torch.lerp(fake[:n].float(), real[:n], u).requires_grad_()
        scores = self._scores(torch.cat([real, fake, between]), torch.cat([y, y, y[:n]]))
        on_real, on_fake, on_between = scores.split([len(x), len(x), n])
        wasserstein = on_real.mean() - on_fake.mean()
        slope = (squared_gradient_norm(on_between, between) + 1e-12).sqrt()
        penalty = (slope - 1).square().mean()
        return {"loss": self.penalty * penalty - wasserstein, "wasserstein": wasserstein, "slope": slope.mean()}

    def _generator_loss(self, x, y):
        return -self._scores(self.generator(self._generator_input(self._sample_noise(len(y)), y)), y).mean()
