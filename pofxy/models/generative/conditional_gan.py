"""Conditional GAN: a generative adversarial network (GAN) whose generator and discriminator are conditional on the class.

    discriminator: minimize  E_(x,y) softplus(-D(x, y)) + E_(z,y) softplus(D(G(z, y), y)) + gamma/2 E |grad_x D(x, y)|^2
    generator:     minimize  E_(z,y) softplus(-D(G(z, y), y)),             D(x, y) = v_y . phi(x) + psi(phi(x))

The generator gets the label as a one-hot vector beside the noise. The discriminator gets it by projection: if the log-odds of
two classes are linear in features of the image, the label enters as the inner product of the features with an embedding v_y.
The nets are those of DCGAN. Samples come from an exponential moving average (EMA) of the generator's parameters.

References:
    M. Mirza, S. Osindero, "Conditional generative adversarial nets", 2014, equation 2. https://arxiv.org/abs/1411.1784
    Projection: T. Miyato, M. Koyama, "cGANs with projection discriminator", ICLR 2018, equation 3. https://arxiv.org/abs/1802.05637
    R1: L. Mescheder, A. Geiger, S. Nowozin, "Which training methods for GANs do actually converge?", ICML 2018.
    https://arxiv.org/abs/1801.04406
"""

from pofxy.base.data import DataSpec
from pofxy.base.hyperparameters import Optimization
from pofxy.base.tags import Tags
from pofxy.nets.adversarial import ConditionalAdversarialNet
from pofxy.nets.strided import DCGANDiscriminator, DCGANGenerator, ProjectionDiscriminator, conv_layers


class ConditionalGAN(ConditionalAdversarialNet):
    """For images with sides of 8 to 64 pixels.

    Args:
        latent_dim: Z, dimension of the noise.
        channels: of the layer next to the image, in both nets; each further layer has twice as many.
        penalty: gamma of R1, which is taken on every fourth batch with four times its weight.
        ema_decay: decay of the EMA of the generator's parameters, per step.
        optimization: steps, batch, learning rate and weight decay, for both nets; the schedule is a cosine.
    """

    tags = Tags(conditional=True, images_only=True, trained_in_steps=True)

    def __init__(
        self,
        latent_dim: int = 64,
        channels: int = 16,
        penalty: float = 0.1,
        ema_decay: float = 0.995,
        optimization: Optimization = Optimization(steps=1400, batch=64, learning_rate=2e-3),
    ):
        super().__init__(latent_dim, penalty, ema_decay, optimization)
        self.channels = channels

    def build(self, spec: DataSpec) -> None:
        """Nets for images (C, H, W). Raises ValueError where a side is below 8 pixels."""
        layers = conv_layers(spec, self.channels, "ConditionalGAN")
        features = DCGANDiscriminator(spec.shape, layers)
        generator = DCGANGenerator(self.latent_dim + spec.classes, spec.shape, layers)
        self.register_nets(spec, generator, ProjectionDiscriminator(features, spec.classes))
