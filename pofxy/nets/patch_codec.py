"""Convolutional encoder and decoder between images and small grids of features: shared by the models with discrete latents.

An image is halved until its smaller side has 4 to 7 places: 8 x 8 pixels become a grid of 4 x 4, 28 x 28 one of 7 x 7, 64 x 64
one of 4 x 4. A side that does not divide evenly is padded with its border, and the decoder cuts off the excess.
"""

import itertools

from torch import Tensor, nn
from torch.nn import functional as F


def grid_of(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """For images of shape (C, H, W): the number of halvings, and the height and width of the grid."""
    halvings = max(0, (min(shape[1:]) // 4).bit_length() - 1)
    height, width = (-(-side // 2**halvings) for side in shape[1:])
    return halvings, height, width


class PatchEncoder(nn.Module):
    """Strided convolutions, then a residual block on the grid.

    Args:
        shape: of an image, (C, H, W).
        width: features on the grid; half as many before each halving, but at least 16.
        features: E, features of the output at each place of the grid.
    """

    def __init__(self, shape: tuple[int, ...], width: int, features: int):
        super().__init__()
        halvings, grid_height, grid_width = grid_of(shape)
        self.padding = (0, grid_width * 2**halvings - shape[2], 0, grid_height * 2**halvings - shape[1])
        widths = _widths(width, halvings)
        layers = [] if halvings else [nn.Conv2d(shape[0], width, 3, padding=1), nn.ReLU()]
        for inputs, outputs in itertools.pairwise([shape[0], *widths]):
            layers += [nn.Conv2d(inputs, outputs, 4, stride=2, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(*layers, _ResidualBlock(width), nn.ReLU(), nn.Conv2d(width, features, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) in [0, 1] -> (N, T, E) for the T = h w places of the grid, row by row, in float32."""
        h = self.layers(F.pad(2 * x - 1, self.padding, mode="replicate")).float()
        return h.flatten(2).transpose(1, 2)  # (N, E, h, w) -> (N, T, E)


class PatchDecoder(nn.Module):
    """The reverse of the encoder: a residual block on the grid, then transposed convolutions.

    Args:
        shape: of an image, (C, H, W).
        width: features on the grid; half as many after each doubling, but at least 16.
        features: E, features of the input at each place of the grid.
        outputs: numbers per pixel and channel, e.g. the parameters of its distribution.
    """

    def __init__(self, shape: tuple[int, ...], width: int, features: int, outputs: int):
        super().__init__()
        halvings, *self.grid = grid_of(shape)
        self.shape = shape
        widths = [width, *_widths(width // 2, halvings)[::-1]]
        layers = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(
            nn.Conv2d(features, width, 3, padding=1),
            _ResidualBlock(width),
            nn.ReLU(),
            *layers,
            nn.Conv2d(widths[-1], outputs * shape[0], 3, padding=1),
        )

    def forward(self, h: Tensor) -> Tensor:
        """(N, T, E) -> (N, outputs * C H W): the first output of all pixels, then the second of all pixels, and so on."""
        h = h.transpose(1, 2).unflatten(2, self.grid)  # (N, T, E) -> (N, E, h, w)
        return self.layers(h)[..., : self.shape[1], : self.shape[2]].flatten(1)


class _ResidualBlock(nn.Module):
    """h + conv1x1(relu(conv3x3(relu(h))))"""

    def __init__(self, width):
        super().__init__()
        self.layers = nn.Sequential(nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 1))

    def forward(self, h):
        return h + self.layers(h)


def _widths(width, halvings):
    """Features after each halving."""
    return [max(16, width // 2**i) for i in range(halvings)][::-1]
