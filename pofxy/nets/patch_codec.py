"""Convolutional nets between images and small grids of features: what the models with discrete codes have in common.

An image is halved until a side of 4 to 7 is left: 8 x 8 pixels become a grid of 4 x 4, 28 x 28 one of 7 x 7, 64 x 64 of 4 x 4.
A side that does not divide evenly is filled up with the border, and what is too much is cut off at the end.
"""

import itertools

from torch import Tensor, nn
from torch.nn import functional as F


def grid_of(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """How often an image (C, H, W) is halved, and the height and width of its grid."""
    halvings = max(0, (min(shape[1:]) // 4).bit_length() - 1)
    height, width = (-(-side // 2**halvings) for side in shape[1:])
    return halvings, height, width


class PatchEncoder(nn.Module):
    """Strided convolutions, then a residual one on the grid.

    Args:
        shape: of an image, (C, H, W).
        width: features on the grid; half as many before each halving, but not below 16.
        features: E, what comes out for each place of the grid.
    """

    def __init__(self, shape: tuple[int, int, int], width: int, features: int):
        super().__init__()
        halvings, height, wide = grid_of(shape)
        self.fill = (0, wide * 2**halvings - shape[2], 0, height * 2**halvings - shape[1])
        widths = _widths(width, halvings)
        layers = [] if halvings else [nn.Conv2d(shape[0], width, 3, padding=1), nn.ReLU()]
        for narrow, wider in itertools.pairwise([shape[0], *widths]):
            layers += [nn.Conv2d(narrow, wider, 4, stride=2, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(*layers, _Residual(width), nn.ReLU(), nn.Conv2d(width, features, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) in [0, 1] -> (N, T, E) for the T = h w places of the grid, row by row, in single precision."""
        h = self.layers(F.pad(2 * x - 1, self.fill, mode="replicate")).float()
        return h.flatten(2).transpose(1, 2)  # (N, E, h, w) -> (N, T, E)


class PatchDecoder(nn.Module):
    """The way back: a residual convolution on the grid, then transposed ones.

    Args:
        shape: of an image, (C, H, W).
        width: features on the grid; half as many after each doubling, but not below 16.
        features: E, what goes in for each place of the grid.
        numbers: what comes out for each of an image's C H W numbers, e.g. the parameters of its law.
    """

    def __init__(self, shape: tuple[int, int, int], width: int, features: int, numbers: int):
        super().__init__()
        halvings, *self.grid = grid_of(shape)
        self.shape = shape
        widths = [width, *_widths(width // 2, halvings)[::-1]]
        layers = []
        for wider, narrow in itertools.pairwise(widths):
            layers += [nn.ConvTranspose2d(wider, narrow, 4, stride=2, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(
            nn.Conv2d(features, width, 3, padding=1),
            _Residual(width),
            nn.ReLU(),
            *layers,
            nn.Conv2d(widths[-1], numbers * shape[0], 3, padding=1),
        )

    def forward(self, h: Tensor) -> Tensor:
        """(N, T, E) -> (N, numbers * C H W), those of one kind for all pixels in a row."""
        h = h.transpose(1, 2).unflatten(2, self.grid)  # (N, T, E) -> (N, E, h, w)
        return self.layers(h)[..., : self.shape[1], : self.shape[2]].flatten(1)


class _Residual(nn.Module):
    """h + conv1x1(relu(conv3x3(relu(h))))"""

    def __init__(self, width):
        super().__init__()
        self.layers = nn.Sequential(nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 1))

    def forward(self, h):
        return h + self.layers(h)


def _widths(width, halvings):
    """Features after each halving."""
    return [max(16, width // 2**i) for i in range(halvings)][::-1]
