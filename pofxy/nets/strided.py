"""Convolutions that halve an image, and transposed ones that double it: the nets of DCGAN and of the models that build on it.

Reference: A. Radford, L. Metz, S. Chintala, "Unsupervised representation learning with deep convolutional generative adversarial
networks", ICLR 2016.
"""

import math

from torch import Tensor, nn

from pofxy.base.data import DataSpec

# Kernel, stride and padding of a layer that halves (or doubles) the image, and of one that keeps its size.
HALVES, KEEPS = (4, 2, 1), (3, 1, 1)


def layers(spec: DataSpec, channels: int, model: str) -> list[tuple[int, tuple[int, int, int]]]:
    """(channels, kernel) of each layer, from the image inwards: each halves it, until a side of 4 to 7 is left.

    The first has `channels`, each further one twice as many. There are two at least: where an image can be halved but once, as at
    8 pixels, the first keeps its size.

    Raises:
        ValueError: where a side is below 8 pixels, in the data set's and the model's name.
    """
    if len(spec.shape) != 3 or min(spec.shape[1:]) < 8:
        raise ValueError(f"{spec.name}: {model} needs images of 8 x 8 pixels or more, not {spec.shape}")
    halvings = (min(spec.shape[1:]) // 4).bit_length() - 1  # 1 at 8 pixels, 2 at 28, 4 at 64
    kernels = [KEEPS, HALVES] if halvings == 1 else [HALVES] * halvings
    return [(channels * 2**i, kernel) for i, kernel in enumerate(kernels)]


class Generator(nn.Module):
    """(N, Z) -> (N, C, H, W) in [-1, 1]: a first small image, then doubled; what is too large at the end is cut off.

    Args:
        latent_dim: Z.
        shape: (C, H, W).
        layers: as `layers` gives them: here they are gone through from the last to the first.
    """

    def __init__(self, latent_dim: int, shape: tuple[int, ...], layers: list[tuple[int, tuple[int, int, int]]]):
        super().__init__()
        reduction = math.prod(stride for _, (_, stride, _) in layers)
        self.shape, self.first = shape, (layers[-1][0], *(-(-side // reduction) for side in shape[1:]))
        size = math.prod(self.first)
        self.project = nn.Sequential(nn.Linear(latent_dim, size, bias=False), nn.BatchNorm1d(size))
        outwards, wide = [], layers[-1][0]
        for i in reversed(range(1, len(layers))):
            narrow = layers[i - 1][0]
            outwards += [nn.ConvTranspose2d(wide, narrow, *layers[i][1], bias=False), nn.BatchNorm2d(narrow), nn.ReLU()]
            wide = narrow
        self.layers = nn.Sequential(*outwards, nn.ConvTranspose2d(wide, shape[0], *layers[0][1]), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        x = self.project(z).relu().view(len(z), *self.first)  # (N, Z) -> (N, channels, H / 2^k, W / 2^k)
        return self.layers(x)[..., : self.shape[1], : self.shape[2]]


class Discriminator(nn.Sequential):
    """(N, C, H, W) -> (N, `size`): the features of an image, by strided convolutions and leaky ReLUs.

    Args:
        shape: (C, H, W).
        layers: as `layers` gives them.
    """

    def __init__(self, shape: tuple[int, ...], layers: list[tuple[int, tuple[int, int, int]]]):
        inwards, (narrow, *sides) = [], shape
        for wide, (kernel, stride, padding) in layers:
            inwards += [nn.Conv2d(narrow, wide, kernel, stride, padding), nn.LeakyReLU(0.2)]
            narrow, sides = wide, [side // stride for side in sides]
        super().__init__(*inwards, nn.Flatten())
        self.size = narrow * math.prod(sides)


class Projection(nn.Module):
    """D(x, y) = v_y . phi(x) + psi(phi(x)): how well features fit a label is an inner product with the label's embedding.

    T. Miyato, M. Koyama, "cGANs with projection discriminator", ICLR 2018, equation 3; psi is linear.

    Args:
        features: phi, (N, ...) -> (N, `size`).
        size: of the features.
        classes: K.
    """

    def __init__(self, features: nn.Module, size: int, classes: int):
        super().__init__()
        self.features, self.linear, self.embedding = features, nn.Linear(size, 1), nn.Embedding(classes, size)
        nn.init.normal_(self.embedding.weight, std=size**-0.5)  # as large as the weights of psi

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        features = self.features(x)
        return self.linear(features).squeeze(1) + (self.embedding(y) * features).sum(1)  # (N, size) -> (N,)
