"""Inpainting error: the squared difference between what a model fills into hidden pixels and what was there.

    1/3 sum_m 1/|hidden_m| sum_(i in hidden_m) (f_i(x) - x_i)^2,     m: lower half, center, half the pixels at random

Source of the task: D. J. Rezende, S. Mohamed, D. Wierstra, "Stochastic backpropagation and approximate inference in deep
generative models", ICML 2014. https://arxiv.org/abs/1401.4082

Trap: the best answer to a squared error is the mean of all possible fillings. A model that samples one sharp filling has up to
twice the error of a model that averages them. Read it beside `inpainting_labels`.
"""

import numpy as np

HIGHER_IS_BETTER = False
UNIT = "squared intensity"
LOWEST = 0.0


def inpainting_error(inpainting: np.ndarray) -> np.ndarray:
    """Mean error of each image over the masks.

    Args:
        inpainting: mean squared error over the hidden pixels, (N, masks, 1).

    Returns:
        The mean over the masks, (N,).
    """
    return inpainting.mean((1, 2))
