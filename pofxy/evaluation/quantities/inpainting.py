"""Inpainting: test images with a part hidden, and how far what the model puts there lies from what was there.

    e_n = 1 / |hidden| sum_(i hidden) (f_i(x_n) - x_ni)^2,     hidden: the lower half; the centre, half as high and as wide as
                                                               the image; half the pixels, at random

Source of the idea: D. J. Rezende, S. Mohamed, D. Wierstra, "Stochastic backpropagation and approximate inference in deep
generative models", ICML 2014.
"""

import torch

from pofxy.evaluation.quantities import ProbeResult
from pofxy.evaluation.quantities._inpainting import CONDITIONS, filled_in

CURVE = "inpainting"
UNIT = "squared intensity"
NEEDS = ("inpaint",)
IMAGES_ONLY = True


def inpainting(model, x):
    """Mean squared error of each image over its hidden pixels, (N, 3, 1); x (N, C, H, W)."""
    errors = []
    for known, filled in filled_in(model, x):
        hidden = ~known.flatten(1)
        errors.append((((filled - x) ** 2).flatten(1) * hidden).sum(1) / hidden.sum(1))
    return ProbeResult(torch.stack(errors, 1)[:, :, None], CONDITIONS, (0.0,))
