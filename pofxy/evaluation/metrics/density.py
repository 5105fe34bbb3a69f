"""Density: the mean number of test images' neighborhoods that contain a sample, relative to its expected value.

    1/(5 n) sum_i sum_j [s_i in B(t_j, d_5(t_j))],      d_5 the distance to the 5th nearest other test image

Precision checks whether there is at least one such neighborhood; density counts them, so the very large neighborhood of an
outlier counts only once. About 1 where samples follow the distribution of the data.

Source: M. F. Naeem, S. J. Oh, Y. Uh, Y. Choi, J. Yoo, "Reliable fidelity and diversity metrics for generative models", ICML
2020. https://arxiv.org/abs/2002.09797

Trap: samples concentrated in the densest part of the data exceed 1, so more is not always better.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "relative density"
LOWEST = 0.0
N_NEIGHBORS = 5


def density(sample_test_balls: np.ndarray) -> np.ndarray:
    """Relative density of test images around each sample.

    Args:
        sample_test_balls: number of test images' balls that contain each sample, (n,).

    Returns:
        A fifth of that number, (n,).
    """
    return sample_test_balls / N_NEIGHBORS
