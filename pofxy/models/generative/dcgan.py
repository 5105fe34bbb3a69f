"""DCGAN: a generative adversarial network (GAN) of strided and transposed convolutions.

    discriminator: minimize  E_x softplus(-D(x)) + E_z softplus(D(G(z))) + gamma/2 E_x |grad_x D(x)|^2
    generator:     minimize  E_z softplus(-D(G(z)))                        (the non-saturating form)

As in the paper: no pooling and no hidden fully connected layer, batch normalization and ReLU in the generator, leaky ReLU in
the discriminator, tanh at the end. The R1 gradient penalty replaces the batch normalization of the discriminator and makes the
training converge. Samples come from an exponential moving average (EMA) of the generator's parameters.

References:
    A. Radford, L. Metz, S. Chintala, "Unsupervised representation learning with deep convolutional generative adversarial
    networks", ICLR 2016. https://arxiv.org/abs/1511.06434
    R1: L. Mescheder, A. Geiger, S. Nowozin, "Which training methods for GANs do actually converge?", ICML 2018.
    https://arxiv.org/abs/1801.04406
"""

from torch import nn

from pofxy.base.data import DataSpec
from pofxy.base.hyperparameters import Optimization
from pofxy.base.tags import Tags
from pofxy.nets.adversarial import AdversarialNet
from pofxy.nets.strided import DCGANDiscriminator, DCGANGenerator, conv_layers


class DCGAN(AdversarialNet):
    """Unconditional, for images with sides of 8 to 64 pixels.

    Args:
        latent_dim: Z, dimension of the noise.
        channels: of the layer next to the image, in both nets; each further layer has twice as many.
        penalty: gamma of R1, which is taken on every fourth batch with four times its weight.
        ema_decay: decay of the EMA of the generator's parameters, per step.
        optimization: steps, batch, learning rate and weight decay, for both nets; the schedule is a cosine.
    """

    tags = Tags(images_only=True, trained_in_steps=True)

    def __init__(
        self,
        latent_dim: int = 16,
        channels: int = 16,
        penalty: float = 0.02,
        ema_decay: float = 0.99,
        optimization: Optimization = Optimization(steps=1300, batch=64, learning_rate=2e-3),
    ):
        super().__init__(latent_dim, penalty, ema_decay, optimization)
        self.channels = channels

    def build(self, spec: DataSpec) -> None:
        """Nets for images (C, H, W). Raises ValueError where a side is below 8 pixels."""
        layers = conv_layers(spec, self.channels, "DCGAN")
        features = DCGANDiscriminator(spec.shape, layers)
        generator = DCGANGenerator(self.latent_dim, spec.shape, layers)
        self.register_nets(spec, generator, nn.Sequential(features, nn.Linear(features.size, 1)))
