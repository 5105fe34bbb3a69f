"""Fréchet distance at infinity: the Fréchet distance extrapolated to infinitely many samples and test images.

    d(n) = d + b / n,      d(n) the Fréchet distance of n samples and n test images; d where the line meets 1/n = 0

The bias of the distance falls as 1/n, so a line through its values at several n ends at the unbiased distance. The line here
goes through all rows and the two halves of three random splits of samples and test images. The two halves of a split contain
every row once, so the line measures the bias and not the chance of the split. It is comparable over numbers of samples, so
generators are ranked by it.

Source: M. J. Chong, D. Forsyth, "Effectively unbiased FID and Inception score and where to find them", CVPR 2020. They use
fifteen subsets of fifteen sizes; smaller subsets add noise and deviate from the line. https://arxiv.org/abs/1911.07023

Traps: the bias is linear in 1/n only where n is several times the number of features. The value may be below 0. The standard
error is that of the plain distance, up to one and a half times too large where the two distributions agree.
"""

import numpy as np

from pofxy.evaluation.frechet import frechet, frechet_error, moments

HIGHER_IS_BETTER = False
UNIT = "squared feature distance"
FEWEST_ROWS = 4
SPLITS = 3


def frechet_distance_infinity(sample_features: np.ndarray, test_features: np.ndarray) -> tuple[float, float]:
    """The intercept of the line.

    Args:
        sample_features: features of samples, (n, Z).
        test_features: features of test images, (N, Z).

    Returns:
        The intercept and its standard error by the delta method.
    """
    sizes, values = distances(sample_features, test_features)
    _, intercept = np.polyfit(1 / sizes, values, 1)
    return float(intercept), frechet_error(sample_features, test_features)


def distances(sample_features: np.ndarray, test_features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The points of the line.

    Args:
        sample_features: features of samples, (n, Z).
        test_features: features of test images, (N, Z).

    Returns:
        Numbers of samples, (1 + 2 SPLITS,), and the Fréchet distance of each subset, (1 + 2 SPLITS,).
    """
    rng = np.random.default_rng(0)
    pairs = [(sample_features, test_features)]
    for _ in range(SPLITS):
        halves = [np.array_split(rng.permutation(len(side)), 2) for side in (sample_features, test_features)]
        pairs += [(sample_features[a], test_features[b]) for a, b in zip(*halves)]
    return np.array([len(a) for a, _ in pairs]), np.array([frechet(moments(a), moments(b)) for a, b in pairs])
