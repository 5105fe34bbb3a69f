"""Fréchet distance at infinity: what the Fréchet distance would be with infinitely many samples and test images.

    d(n) = d + b / n,      d(n) the Fréchet distance of n samples and n test images; d where the line meets 1/n = 0

The bias of the distance falls as 1/n, so a line through its values for several n ends at the distance itself. The line here
goes through all rows and the halves of three random cuts, of samples and of test images at once: the halves of a cut hold every
row once, so that the line sees the bias and not the luck of the draw. Source: M. J. Chong, D. Forsyth, "Effectively unbiased
FID and Inception score and where to find them", CVPR 2020, who draw fifteen subsets of fifteen sizes; smaller ones add noise
and leave the line. Traps: the bias is a line in 1/n only where n is several times the number of features; the value may be
below 0; its standard error is that of the plain distance, up to one and a half times too large where the laws agree.
"""

import numpy as np

from pofxy.evaluation.frechet import frechet, frechet_error, moments

HIGHER_IS_BETTER = False
UNIT = "squared feature distance"
CUTS = 3


def frechet_distance_infinity(sample_features, test_features):
    """The intercept of the line, and its standard error; features (n, Z) and (N, Z)."""
    sizes, values = distances(sample_features, test_features)
    _, intercept = np.polyfit(1 / sizes, values, 1)
    return float(intercept), frechet_error(sample_features, test_features)


def distances(sample_features, test_features):
    """The points of the line: numbers of samples, (1 + 2 CUTS,), and the Fréchet distance of each subset, (1 + 2 CUTS,)."""
    rng = np.random.default_rng(0)
    pairs = [(sample_features, test_features)]
    for _ in range(CUTS):
        halves = [np.array_split(rng.permutation(len(side)), 2) for side in (sample_features, test_features)]
        pairs += [(sample_features[a], test_features[b]) for a, b in zip(*halves)]
    return np.array([len(a) for a, _ in pairs]), np.array([frechet(moments(a), moments(b)) for a, b in pairs])
