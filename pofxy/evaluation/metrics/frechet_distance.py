"""Fréchet distance: the distance between the features of samples and of test images, both taken as Gaussian.

    |m_s - m_t|^2 + tr(S_s + S_t - 2 (S_s S_t)^(1/2)),      m, S mean and covariance of the features

The distance that the Fréchet Inception distance (FID) uses, here on the features of the data set's own feature net. The
standard error is found by the delta method. A bootstrap would give too large an error, because its resampled sets repeat rows.

Source: M. Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium", NIPS 2017, eq. 6.
https://arxiv.org/abs/1706.08500

Traps: it falls with the number of samples, and its interval covers what that many samples give on average, never the distance
between the two distributions. That is the Fréchet distance at infinity, by which generators are ranked; this one is what papers
report. Read it beside its floor (`real_train`, as many train images) and its ceiling (`independent_pixels`). It sees neither
copies of train images nor anything of the features beyond their mean and covariance.
"""

import numpy as np

from pofxy.evaluation.frechet import frechet_with_error

HIGHER_IS_BETTER = False
UNIT = "squared feature distance"
FEWEST_ROWS = 2
LOWEST = 0.0


def frechet_distance(sample_features: np.ndarray, test_features: np.ndarray) -> tuple[float, float]:
    """The squared 2-Wasserstein distance between two Gaussians with the moments of the features.

    Args:
        sample_features: features of samples, (n, Z).
        test_features: features of test images, (N, Z).

    Returns:
        The distance and its standard error by the delta method.
    """
    return frechet_with_error(sample_features, test_features)
