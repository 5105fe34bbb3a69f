"""Test images with a part hidden, and what a model puts there: shared by the probes of inpainting."""

import torch

from pofxy.base.prediction import predict_batched
from pofxy.evaluation.quantities import generator

CONDITIONS = ("lower half", "centre", "half the pixels")


def filled_in(model, x):
    """x (N, C, H, W) filled in under each mask.

    Of what is hidden the model sees 0: nothing of it leaks. What is known stands in the result as it was.

    Returns:
        for each of CONDITIONS, in their order, (known, filled): (N, C, H, W) bool and (N, C, H, W) in [0, 1].
    """
    found = []
    for known in masks(x):
        mask = known.to(x.dtype)  # 1 where known, as CAPABILITIES has it
        found.append((known, torch.where(known, x, predict_batched(model, "inpaint", x * mask, mask))))
    return found


def masks(x):
    """What is known of x (N, C, H, W) under each of CONDITIONS, a list of (N, C, H, W) bool; all channels of a pixel or none."""
    n, _, height, width = x.shape
    lower, centre = torch.ones(2, height, width, dtype=torch.bool)
    lower[height - height // 2 :] = False
    top, left = height // 4, width // 4
    centre[top : top + height // 2, left : left + width // 2] = False
    # A random order of the pixels for each image, of which the first half is hidden: as many in every image.
    order = torch.rand(n, height * width, generator=generator()).argsort(1)
    half = (order >= height * width // 2).view(n, 1, height, width)  # (N, H W) -> (N, 1, H, W)
    return [known.expand(x.shape) for known in (lower, centre, half)]
