"""Fréchet distance: how far the features of samples lie from those of test images, both taken as Gaussian.

    |mu_s - mu_t|^2 + tr(S_s + S_t - 2 (S_s S_t)^(1/2)),      mu, S mean and covariance of the features

The distance behind FID (M. Heusel et al., NIPS 2017, eq. 6), here on the features of the data set's own feature net. Traps: it
falls with the number of samples, so read it beside its floor (`real_train`, as many train images) and its ceiling
(`independent_pixels`); it does not see copies of the training images.
"""

import numpy as np

HIGHER_IS_BETTER = False
UNIT = "squared feature distance"
LOWEST = 0.0


def frechet_distance(sample_features, test_features):
    """The squared 2-Wasserstein distance of two Gaussians with the moments of (n, Z) and (N, Z) features."""
    mean_s, covariance_s = _moments(sample_features)
    mean_t, covariance_t = _moments(test_features)
    # tr (S_s S_t)^(1/2) = sum of the roots of the eigenvalues of A S_t A with A = S_s^(1/2), which is symmetric.
    values, vectors = np.linalg.eigh(covariance_s)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    cross = np.linalg.eigvalsh(root @ covariance_t @ root)
    return float(
        ((mean_s - mean_t) ** 2).sum() + np.trace(covariance_s) + np.trace(covariance_t) - 2 * np.sqrt(np.maximum(cross, 0)).sum()
    )


def _moments(features):
    features = features.astype(float)
    return features.mean(0), np.cov(features, rowvar=False)  # (Z,), (Z, Z)
