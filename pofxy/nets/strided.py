"""The nets of DCGAN and of the models that build on it: strided convolutions, and transposed ones that upsample.

Reference: A. Radford, L. Metz, S. Chintala, "Unsupervised representation learning with deep convolutional generative adversarial
networks", ICLR 2016. https://arxiv.org/abs/1511.06434
"""

import math
from dataclasses import dataclass

from torch import Tensor, nn

from pofxy.base.data import DataSpec


@dataclass(frozen=True)
class ConvLayer:
    """A convolution of the discriminator, and the transposed convolution of the generator that reverses it.

    Attributes:
        channels: on the side away from the image.
        kernel: side of the kernel.
        stride: 2 halves the image, 1 keeps its size.
        padding: on each side.
    """

    channels: int
    kernel: int
    stride: int
    padding: int


def conv_layers(spec: DataSpec, channels: int, model: str) -> list[ConvLayer]:
    """The layers from the image inwards: each halves it, until its smaller side has 4 to 7 pixels.

    The first layer has `channels`, each further one twice as many. There are two layers at least: an image of 8 to 15 pixels is
    halved only once, and then the first layer keeps its size.

    Args:
        spec: of the images.
        channels: of the layer next to the image.
        model: name of the model, for the error.

    Raises:
        ValueError: where a side is below 8 pixels; the message names the data set and the model.
    """
    if len(spec.shape) != 3 or min(spec.shape[1:]) < 8:
        raise ValueError(f"{spec.name}: {model} needs images of 8 x 8 pixels or more, not {spec.shape}")
    halvings = (min(spec.shape[1:]) // 4).bit_length() - 1  # 1 at 8 pixels, 2 at 28, 4 at 64
    if halvings == 1:
        return [
            ConvLayer(channels, kernel=3, stride=1, padding=1),
            ConvLayer(2 * channels, kernel=4, stride=2, padding=1),
        ]
    return [ConvLayer(channels * 2**i, kernel=4, stride=2, padding=1) for i in range(halvings)]


class DCGANGenerator(nn.Module):
    """(N, Z) -> (N, C, H, W) in [-1, 1]: a small first image, then upsampling; rows and columns in excess are cut off.

    Args:
        latent_dim: Z.
        shape: (C, H, W).
        layers: from `conv_layers`, traversed from the last to the first.
    """

    def __init__(self, latent_dim: int, shape: tuple[int, ...], layers: list[ConvLayer]):
        super().__init__()
        reduction = math.prod(layer.stride for layer in layers)
        self.shape = shape
        self.first_shape = (layers[-1].channels, *(-(-side // reduction) for side in shape[1:]))
        size = math.prod(self.first_shape)
        self.project = nn.Sequential(nn.Linear(latent_dim, size, bias=False), nn.BatchNorm1d(size))
        modules = []
        # The last transposed convolution, next to the image, has neither batch normalization nor ReLU.
        for layer, next_layer in zip(layers[:0:-1], layers[-2::-1], strict=True):
            modules += [
                nn.ConvTranspose2d(layer.channels, next_layer.channels, layer.kernel, layer.stride, layer.padding, bias=False),
                nn.BatchNorm2d(next_layer.channels),
                nn.ReLU(),
            ]
        first = layers[0]
        modules += [
            nn.ConvTranspose2d(first.channels, shape[0], first.kernel, first.stride, first.padding),
            nn.Tanh(),
        ]
        self.layers = nn.Sequential(*modules)

    def forward(self, z: Tensor) -> Tensor:
        """Noise (N, Z) -> images (N, C, H, W)."""
        x = self.project(z).relu().view(len(z), *self.first_shape)  # (N, Z) -> (N, channels, H / 2^k, W / 2^k)
        return self.layers(x)[..., : self.shape[1], : self.shape[2]]


class DCGANDiscriminator(nn.Sequential):
    """(N, C, H, W) -> (N, `size`): features of an image, by strided convolutions and leaky ReLUs.

    Args:
        shape: (C, H, W).
        layers: from `conv_layers`.
    """

    def __init__(self, shape: tuple[int, ...], layers: list[ConvLayer]):
        modules = []
        channels, *sides = shape
        for layer in layers:
            modules += [nn.Conv2d(channels, layer.channels, layer.kernel, layer.stride, layer.padding), nn.LeakyReLU(0.2)]
            channels = layer.channels
            sides = [side // layer.stride for side in sides]
        super().__init__(*modules, nn.Flatten())
        self.size = channels * math.prod(sides)


class ProjectionDiscriminator(nn.Module):
    """D(x, y) = v_y . phi(x) + psi(phi(x)): the label enters as the inner product of the features with an embedding v_y.

    Reference: T. Miyato, M. Koyama, "cGANs with projection discriminator", ICLR 2018, equation 3; psi is linear here.
    https://arxiv.org/abs/1802.05637

    Args:
        features: phi, (N, ...) -> (N, size); its attribute `size` is the number of features.
        classes: K.
    """

    def __init__(self, features: DCGANDiscriminator, classes: int):
        super().__init__()
        self.features = features
        self.linear = nn.Linear(features.size, 1)
        self.embedding = nn.Embedding(classes, features.size)
        nn.init.normal_(self.embedding.weight, std=features.size**-0.5)  # as large as the weights of psi

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Images (N, C, H, W) and labels (N,) -> D(x, y), (N,)."""
        features = self.features(x)
        return self.linear(features).squeeze(1) + (self.embedding(y) * features).sum(1)  # (N, size) -> (N,)
