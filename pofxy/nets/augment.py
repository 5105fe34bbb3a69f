"""Small random changes of training images, which leave their class as it is."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def augmented(x: Tensor, translate: float, degrees: float, scale: float, mirror: bool) -> Tensor:
    """Each image moved, turned and stretched by amounts of its own, bilinearly; the border is repeated.

    Args:
        x: (B, C, H, W).
        translate: largest move, as a share of the side.
        degrees: largest turn to either side, in degrees.
        scale: largest change of scale, as a share.
        mirror: whether half of the images are mirrored.

    Returns:
        The shape of x.
    """
    n, _, height, width = x.shape
    turn, larger, flip, right, down = torch.rand(5, n, device=x.device) * 2 - 1
    turn, scale = turn * math.radians(degrees), 1 + larger * scale
    across = scale * torch.where(flip < 0, -1.0, 1.0) if mirror else scale
    # The sampling grid runs from -1 to 1, so a side is 2 long; turning in pixels keeps a long image from being sheared.
    ratio = height / width
    grid = torch.stack(
        [
            torch.stack([across * turn.cos(), -scale * turn.sin() * ratio, 2 * translate * right], 1),
            torch.stack([across * turn.sin() / ratio, scale * turn.cos(), 2 * translate * down], 1),
        ],
        1,
    )  # (B, 2, 3)
    return F.grid_sample(x, F.affine_grid(grid, list(x.shape), align_corners=False), padding_mode="border", align_corners=False)
