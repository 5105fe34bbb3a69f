"""Grids of images, and scatter plots of tables, as PNG. Without torch: the report uses it too."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from pofxy.storage import files

GAP = 2  # width of the white lines, in pixels
HEIGHT = 56  # of an image in the grid, in pixels


def encode_grid(x: ArrayLike, columns: int = 10, height: int = HEIGHT) -> bytes:
    """The PNG of a grid of images, row by row, with white lines between them.

    Args:
        x: (N, C, H, W) in [0, 1], or uint8 in 0..255; C is 1 or 3. Arrays and CPU tensors.
        columns: images in a row.
        height: at least so many pixels for the height of an image. Pixels are repeated, as a viewer would blur them.
    """
    images = np.asarray(x)
    scale = max(1, round(height / images.shape[2]))
    pixels = images if images.dtype == np.uint8 else np.rint(images.clip(0, 1) * 255).astype(np.uint8)
    tiles = pixels.repeat(scale, 2).repeat(scale, 3).transpose(0, 2, 3, 1)  # (N, C, H, W) -> (N, s H, s W, C)
    n, tile_height, tile_width, channels = tiles.shape
    rows = -(-n // columns)
    grid = np.full((rows * (tile_height + GAP) + GAP, columns * (tile_width + GAP) + GAP, channels), 255, np.uint8)
    for i, tile in enumerate(tiles):
        top, left = GAP + i // columns * (tile_height + GAP), GAP + i % columns * (tile_width + GAP)
        grid[top : top + tile_height, left : left + tile_width] = tile
    buffer = io.BytesIO()
    Image.fromarray(grid.squeeze(2) if channels == 1 else grid).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def save_grid(path: Path | str, x: ArrayLike, columns: int = 10, height: int = HEIGHT) -> None:
    """Writes the grid of `encode_grid` to a PNG file, whole or not at all."""
    with files.atomic(path) as temporary:
        temporary.write_bytes(encode_grid(x, columns, height))


def color_signed(x: ArrayLike) -> np.ndarray:
    """Colors for numbers of any size: white at 0, red above and blue below it.

    Args:
        x: (N, C, H, W); the channels are averaged. The largest 2 % of each image have the strongest color.

    Returns:
        (N, 3, H, W) in [0, 1].
    """
    values = np.asarray(x).mean(1, keepdims=True)
    strongest = np.quantile(np.abs(values).reshape(len(values), -1), 0.98, axis=1).clip(min=1e-12)  # (N,): few must not pale all
    values = (values / strongest[:, None, None, None]).clip(-1, 1)
    above = values.clip(min=0)
    below = (-values).clip(min=0)
    # From white towards Okabe and Ito's vermilion (.84, .37, 0) and blue (0, .45, .70).
    return np.concatenate([1 - 0.16 * above - below, 1 - 0.63 * above - 0.55 * below, 1 - above - 0.3 * below], 1)


def save_scatter(path: Path | str, x: ArrayLike, labels: ArrayLike | None = None) -> None:
    """Writes a scatter plot of the first two columns of a table, the classes in colors.

    Args:
        path: of the PNG.
        x: (N, D) in [0, 1]; of a single column, the second coordinate is 0.
        labels: (N,), or None where there are none.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    points = np.asarray(x)
    second = points[:, 1] if points.shape[1] > 1 else np.zeros(len(points))
    figure, axes = pyplot.subplots(figsize=(3.2, 3.2), dpi=180, layout="constrained")
    colors = ["C0"] * len(points) if labels is None else [f"C{label % 10}" for label in np.asarray(labels).tolist()]
    axes.scatter(points[:, 0], second, s=5, c=colors, linewidths=0)
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[], aspect="equal")
    with files.atomic(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
    pyplot.close(figure)
