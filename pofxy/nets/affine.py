"""Affine transformations of images, each image by its own."""

import torch
from torch import Tensor
from torch.nn import functional as F


def transform(x: Tensor, angle: Tensor, scale_x: Tensor, scale_y: Tensor, translation: Tensor) -> Tensor:
    """Rotates, scales and translates images about their center, bilinearly; beyond the border the border is repeated.

    Args:
        x: (N, C, H, W).
        angle: (N,) in radians.
        scale_x, scale_y: (N,), of the sampling grid: above 1 the image becomes smaller; below 0 it is mirrored.
        translation: (N, 2), right and down, in units in which a side has length 2.

    Returns:
        The shape of x.
    """
    # Rotating in pixels, not in shares of the sides, keeps an oblong image from being sheared.
    ratio = x.shape[2] / x.shape[3]
    first_row = [scale_x * angle.cos(), -scale_y * angle.sin() * ratio, translation[:, 0]]
    second_row = [scale_x * angle.sin() / ratio, scale_y * angle.cos(), translation[:, 1]]
    matrix = torch.stack([torch.stack(first_row, 1), torch.stack(second_row, 1)], 1)  # (N, 2, 3)
    grid = F.affine_grid(matrix, list(x.shape), align_corners=False)  # (N, H, W, 2)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)
