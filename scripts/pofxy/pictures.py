"""Grids of images as PNG."""

from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from pofxy import files


def save_grid(path: Path, x: Tensor, columns: int = 10, side: int = 56, gap: int = 2) -> None:
    """Writes images row by row into one picture, with white lines between them.

    Args:
        path: of the PNG.
        x: (N, C, H, W) in [0, 1]; C is 1 or 3.
        columns: images in a row.
        side: pixels of the picture that the height of an image takes at least; whole pixels are repeated.
        gap: width of the lines.
    """
    scale = max(1, round(side / x.shape[2]))
    tiles = (x.clamp(0, 1) * 255).round().byte().numpy().repeat(scale, 2).repeat(scale, 3).transpose(0, 2, 3, 1)
    n, height, width, channels = tiles.shape
    rows = -(-n // columns)
    picture = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, channels), 255, np.uint8)
    for i, tile in enumerate(tiles):
        top, left = gap + i // columns * (height + gap), gap + i % columns * (width + gap)
        picture[top : top + height, left : left + width] = tile
    with files.atomic(path) as temporary:
        Image.fromarray(picture.squeeze(2) if channels == 1 else picture).save(temporary, format="PNG", optimize=True)
