"""Fréchet distance: how far the features of samples lie from those of test images, both taken as Gaussian.

    |m_s - m_t|^2 + tr(S_s + S_t - 2 (S_s S_t)^(1/2)),      m, S mean and covariance of the features

The distance behind FID, here on the features of the data set's own feature net. Source: M. Heusel et al., "GANs trained by a
two time-scale update rule converge to a local Nash equilibrium", NIPS 2017, eq. 6. The standard error is the delta method's; a
bootstrap, whose sets repeat rows, comes out too large. Traps: it falls with the number of samples,
so read it beside its floor (`real_train`, as many train images) and its ceiling (`independent_pixels`); it does not see copies
of the training images, nor anything of the features beyond their mean and covariance.
"""

from pofxy.evaluation.frechet import frechet, frechet_error, moments

HIGHER_IS_BETTER = False
UNIT = "squared feature distance"
LOWEST = 0.0


def frechet_distance(sample_features, test_features):
    """The squared 2-Wasserstein distance of two Gaussians with the moments of (n, Z) and (N, Z) features; its standard error."""
    return frechet(moments(sample_features), moments(test_features)), frechet_error(sample_features, test_features)
