"""Random affine transformations of training images, small enough to preserve the class."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from pofxy.base.hyperparameters import Augmentation


def augment(x: Tensor, augmentation: Augmentation, mirror: bool) -> Tensor:
    """Translates, rotates and scales each image by random amounts of its own.

    Interpolation is bilinear; pixels from beyond the border repeat the border.

    Args:
        x: (B, C, H, W).
        augmentation: largest translation, rotation and change of scale.
        mirror: whether half of the images, chosen at random, are also mirrored from left to right.

    Returns:
        The shape of x.
    """
    n, _, height, width = x.shape
    rotation, zoom, flip, right, down = torch.rand(5, n, device=x.device) * 2 - 1  # (B,) each, uniform in [-1, 1)
    angle = rotation * math.radians(augmentation.degrees)
    scale = 1 + zoom * augmentation.scale
    scale_x = scale * torch.where(flip < 0, -1.0, 1.0) if mirror else scale
    # affine_grid's coordinates run from -1 to 1: a side has length 2, and the ratio keeps an oblong image from being sheared.
    ratio = height / width
    first_row = [scale_x * angle.cos(), -scale * angle.sin() * ratio, 2 * augmentation.translate * right]
    second_row = [scale_x * angle.sin() / ratio, scale * angle.cos(), 2 * augmentation.translate * down]
    matrix = torch.stack([torch.stack(first_row, 1), torch.stack(second_row, 1)], 1)  # (B, 2, 3)
    grid = F.affine_grid(matrix, list(x.shape), align_corners=False)  # (B, H, W, 2)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)
