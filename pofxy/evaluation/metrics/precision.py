"""Precision: the share of samples that lie in the neighborhood of some test image.

    1/n sum_i [s_i in B(t_j, d_5(t_j)) for some j],      d_5 the distance to the 5th nearest other test image

The balls around the features of the test images estimate the support of the data distribution.

Source: T. Kynkäänniemi, T. Karras, S. Laine, J. Lehtinen, T. Aila, "Improved precision and recall metric for assessing
generative models", NeurIPS 2019, eqs. 1 and 2. https://arxiv.org/abs/1904.06991

Traps: an outlier among the test images has such a large ball that nearly every sample lies in it (`density` counts balls
instead). Copies of one good image get the full score. Real images score below 1, and lower where images are few.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "share"
LOWEST = 0.0
HIGHEST = 1.0


def precision(sample_test_balls: np.ndarray) -> np.ndarray:
    """Whether each sample lies in the ball of some test image.

    Args:
        sample_test_balls: number of test images' balls that contain each sample, (n,).

    Returns:
        1.0 where it is not 0, else 0.0, (n,).
    """
    return (sample_test_balls > 0).astype(float)
