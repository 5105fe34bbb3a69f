"""Inpainting: squared error of what the model fills in for hidden pixels, against the pixels that were there.

    e_n = 1 / |hidden| sum_(i hidden) (f_i(x_n) - x_ni)^2,     hidden: the lower half; the center, half as high and as wide as
                                                               the image; half the pixels, at random

Source of the idea: D. J. Rezende, S. Mohamed, D. Wierstra, "Stochastic backpropagation and approximate inference in deep
generative models", ICML 2014, https://arxiv.org/abs/1401.4082.
"""

import torch
from torch import Tensor

from pofxy.evaluation.quantities.inpainted import MASKS
from pofxy.evaluation.quantity import ProbeResult, quantity


@quantity(rows="test", images_only=True, curve="inpainting", unit="squared intensity")
def inpainting(x_masked: Tensor, inpainted: list[tuple[Tensor, Tensor]]) -> ProbeResult:
    """Mean squared error of each image over its hidden pixels, (M, 3, 1); x_masked (M, C, H, W)."""
    errors = []
    for known, filled in inpainted:
        hidden = ~known.flatten(1)
        errors.append((((filled - x_masked) ** 2).flatten(1) * hidden).sum(1) / hidden.sum(1))
    return ProbeResult(torch.stack(errors, 1)[:, :, None], MASKS, (0.0,))
