"""Random affine transformations of training images, small enough to preserve the class."""

import math

import torch
from torch import Tensor

from pofxy.base.hyperparameters import Augmentation
from pofxy.nets.affine import transform


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
    rotation, zoom, flip, right, down = torch.rand(5, len(x), device=x.device) * 2 - 1  # (B,) each, uniform in [-1, 1)
    angle = rotation * math.radians(augmentation.degrees)
    scale = 1 + zoom * augmentation.scale
    scale_x = scale * torch.where(flip < 0, -1.0, 1.0) if mirror else scale
    # In the units of `transform` a side has length 2.
    translation = 2 * augmentation.translate * torch.stack([right, down], 1)
    return transform(x, angle, scale_x, scale, translation)
