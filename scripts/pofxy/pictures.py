"""Grids of images as PNG."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pofxy import files


def save_signed_grid(path: Path, x: Tensor, columns: int = 10, side: int = 56, gap: int = 2) -> None:
    """The same for numbers of any size: white at 0, red above and blue below it, the largest 2 % of each image the strongest.

    Args:
        path: of the PNG.
        x: (N, C, H, W); the channels are averaged.
        columns, side, gap: as in save_grid.
    """
    x = x.mean(1, keepdim=True)
    strongest = x.abs().flatten(1).quantile(0.98, dim=1).clamp(min=1e-12)  # (N,); a few odd pixels must not pale the others
    x = (x / strongest.view(-1, 1, 1, 1)).clamp(-1, 1)
    above, below = x.clamp(min=0), (-x).clamp(min=0)
    # From white towards Okabe and Ito's vermilion (.84, .37, 0) and blue (0, .45, .70).
    red, green, blue = 1 - 0.16 * above - below, 1 - 0.63 * above - 0.55 * below, 1 - above - 0.3 * below
    save_grid(path, torch.cat([red, green, blue], 1), columns, side, gap)


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


def save_scatter(path: Path, x: Tensor, labels: Tensor | None = None) -> None:
    """Writes the first two columns of table rows as points of a square, the classes in colours.

    Args:
        path: of the PNG.
        x: (N, D) in [0, 1]; of a single column, the second one is 0.
        labels: (N,), or None where there are none.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    column = x[:, 1] if x.shape[1] > 1 else torch.zeros(len(x))
    figure, plot = pyplot.subplots(figsize=(3.2, 3.2), dpi=180, layout="constrained")
    colours = ["C0"] * len(x) if labels is None else [f"C{label % 10}" for label in labels.tolist()]
    plot.scatter(x[:, 0], column, s=5, c=colours, linewidths=0)
    plot.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[], aspect="equal")
    with files.atomic(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
    pyplot.close(figure)
