"""Fréchet Inception distance: the Fréchet distance on the features of Inception-v3, as papers report it.

    |m_s - m_t|^2 + tr(S_s + S_t - 2 (S_s S_t)^(1/2)),      m, S mean and covariance of 2,048 features

Also known as FID. It is computed only where the config names weights.

Source: M. Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium", NIPS 2017, eq. 6.
https://arxiv.org/abs/1706.08500

Traps: published values depend on the weights, on how images were resized and on the number of samples (usually 50,000; with a
few hundred the value is far too large), so compare only within one report. A net trained on photographs may not see what
matters in digits.
"""

import numpy as np

from pofxy.evaluation.frechet import frechet_with_error

HIGHER_IS_BETTER = False
UNIT = "squared feature distance"
FEWEST_ROWS = 2
LOWEST = 0.0


def inception_distance(sample_inception: np.ndarray, test_inception: np.ndarray) -> tuple[float, float]:
    """The Fréchet distance on Inception features.

    Args:
        sample_inception: Inception features of samples, (n, 2048).
        test_inception: Inception features of test images, (N, 2048).

    Returns:
        The distance and its standard error by the delta method, as a bootstrap would take hours.
    """
    return frechet_with_error(sample_inception, test_inception)
