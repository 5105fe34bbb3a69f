"""Test images with a part hidden, and what the model fills in."""

import torch
from torch import Tensor

from pofxy.base.capabilities import SupportsInpaint
from pofxy.base.prediction import predict_batched
from pofxy.evaluation.quantity import fixed_generator, quantity

MASKS = ("lower half", "centre", "half the pixels")


@quantity(images_only=True)
def inpainted(model: SupportsInpaint, x_masked: Tensor) -> list[tuple[Tensor, Tensor]]:
    """For each of MASKS what was known, (M, C, H, W) bool, and the images as they were filled in, (M, C, H, W) in [0, 1].

    The model is given 0 for hidden pixels, so that nothing of them leaks. Known pixels stand in the result as they were.
    """
    filled_in = []
    for known in masks(x_masked):
        mask = known.to(x_masked.dtype)  # 1 where known
        filled = predict_batched(model, "inpaint", x_masked * mask, mask)
        filled_in.append((known, torch.where(known, x_masked, filled)))
    return filled_in


def masks(x: Tensor) -> list[Tensor]:
    """What is known of x (N, C, H, W) under each of MASKS, (N, C, H, W) bool each; all channels of a pixel or none."""
    n, _, height, width = x.shape
    lower, center = torch.ones(2, height, width, dtype=torch.bool)
    lower[height - height // 2 :] = False
    top, left = height // 4, width // 4
    center[top : top + height // 2, left : left + width // 2] = False
    # A random order of the pixels for each image, of which the first half is hidden: as many in every image.
    order = torch.rand(n, height * width, generator=fixed_generator()).argsort(1)
    half = (order >= height * width // 2).view(n, 1, height, width)  # (N, H W) -> (N, 1, H, W)
    return [known.expand(x.shape) for known in (lower, center, half)]
