"""Recall: the share of test images that lie in the neighborhood of some sample.

    1/N sum_j [t_j in B(s_i, d_5(s_i)) for some i],      d_5 the distance to the 5th nearest other sample

It falls where a part of the data is never sampled.

Source: T. Kynkäänniemi, T. Karras, S. Laine, J. Lehtinen, T. Aila, "Improved precision and recall metric for assessing
generative models", NeurIPS 2019, eqs. 1 and 2. https://arxiv.org/abs/1904.06991

Traps: widely scattered samples have large balls, so noise around the data can get the full score (`coverage` uses the balls of
the test images). It depends on the number of samples.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "share"
LOWEST = 0.0
HIGHEST = 1.0


def recall(test_sample_balls: np.ndarray) -> np.ndarray:
    """Whether each test image lies in the ball of some sample.

    Args:
        test_sample_balls: number of samples' balls that contain each test image, (N,).

    Returns:
        1.0 where it is not 0, else 0.0, (N,).
    """
    return (test_sample_balls > 0).astype(float)
