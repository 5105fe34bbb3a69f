"""Accuracy by a bound: the share of test images whose true label has the highest lower bound of log p(x, y).

    1/n sum_i [argmax_y b(x_i, y) = y_i],     b(x, y) <= log p(x, y)

It is measured on the first images of the test split; the estimator says how many.

Source: A. C. Li et al., "Your diffusion model is secretly a zero-shot classifier", ICCV 2023. https://arxiv.org/abs/2303.16203

Traps: it uses fewer images than `accuracy`, so compare intervals. If the bound is looser for some classes than for others, the
label can be wrong although the model is right. It does not measure how confident the model is.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "accuracy"
LOWEST = 0.0
HIGHEST = 1.0


def bound_accuracy(bound_classifier: np.ndarray) -> np.ndarray:
    """Whether the true label of each image has the highest bound.

    Args:
        bound_classifier: whether the label is right, (n, 1, 1) bool.

    Returns:
        1.0 where it is right, else 0.0, (n,).
    """
    return bound_classifier[:, 0, 0].astype(float)
