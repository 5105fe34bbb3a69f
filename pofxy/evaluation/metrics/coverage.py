"""Coverage: the share of test images that have a sample in their neighborhood.

    1/N sum_j [s_i in B(t_j, d_5(t_j)) for some i],      d_5 the distance to the 5th nearest other test image

The neighborhoods are those of real images. Samples cannot enlarge them, as they can for recall.

Source: M. F. Naeem, S. J. Oh, Y. Uh, Y. Choi, J. Yoo, "Reliable fidelity and diversity metrics for generative models", ICML
2020. https://arxiv.org/abs/2002.09797

Traps: with as many samples as test images, samples from the true distribution reach at most 1 - 2^-5 = 97 % on average; with
fewer samples, less.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "share"
LOWEST = 0.0
HIGHEST = 1.0


def coverage(test_own_ball: np.ndarray) -> np.ndarray:
    """Whether the neighborhood of each test image contains a sample.

    Args:
        test_own_ball: whether the test image's own ball contains a sample, (N,) bool.

    Returns:
        1.0 where it does, else 0.0, (N,).
    """
    return test_own_ball.astype(float)
