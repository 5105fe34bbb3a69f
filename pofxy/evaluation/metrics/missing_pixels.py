"""Missing pixels: the accuracy when some pixels of each image are unknown.

    1/9 sum_s accuracy(share s of the pixels unknown),     s = 10, 20, .. 90 %

A density that can integrate out the unknown pixels classifies by p(y | known pixels), which is exact. For any other model the
unknown pixels are replaced by the mean of the train images. The estimator of each score says which.

Source of the exact rule: Z. Ghahramani, M. I. Jordan, "Supervised learning from incomplete data via an EM approach", NIPS 1993.
https://proceedings.neurips.cc/paper/1993/hash/f2201f5191c4e92cc5af043eebfd0946-Abstract.html

Trap: pixels are missing at random here. A hidden region is another problem (occlusion, under `robustness`).
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "share"
LOWEST = 0.0
HIGHEST = 1.0


def missing_pixels(missing_pixels: np.ndarray) -> float:
    """Mean accuracy over the shares above 0.

    Args:
        missing_pixels: whether the label is right, (N, 1, shares) bool, share 0 first.

    Returns:
        The mean, 0 to 1.
    """
    return float(missing_pixels[:, :, 1:].mean())
