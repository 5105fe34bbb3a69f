"""Fréchet distance between two sets of features, and its standard error.

    d = |m_1 - m_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2)),      m, S mean and covariance of a set

Four metrics share it.

Reference: D. C. Dowson, B. V. Landau, "The Fréchet distance between multivariate normal distributions", Journal of Multivariate
Analysis 12(3), 1982. https://doi.org/10.1016/0047-259X(82)90077-X
"""

import numpy as np

# Rows at once in double precision.
BATCH = 4096
# Eigenvalues below this share of the largest one are rounding errors.
NEGLIGIBLE = 1e-12

# Mean (Z,) and covariance (Z, Z).
Moments = tuple[np.ndarray, np.ndarray]


def frechet_with_error(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """The Fréchet distance between two sets of features and its standard error.

    Args:
        first: features, (n, Z).
        second: features, (N, Z).

    Returns:
        The distance, and its standard error by the delta method.
    """
    moments_1 = moments(first)
    moments_2 = moments(second)
    return frechet(moments_1, moments_2), _error(first, moments_1, second, moments_2)


def moments(features: np.ndarray) -> Moments:
    """Mean (Z,) and unbiased covariance (Z, Z) of features (n, Z), in float64."""
    mean = features.mean(0, dtype=float)
    scatter = np.zeros((features.shape[1], features.shape[1]))
    for i in range(0, len(features), BATCH):
        centered = features[i : i + BATCH] - mean  # (B, Z)
        scatter += centered.T @ centered
    return mean, scatter / (len(features) - 1)


def frechet(first: Moments, second: Moments) -> float:
    """The squared 2-Wasserstein distance between two Gaussians, each given by its moments (Z,), (Z, Z)."""
    mean_1, covariance_1 = first
    mean_2, covariance_2 = second
    # tr (S_1 S_2)^(1/2) = sum of the square roots of the eigenvalues of A' S_2 A for any A A' = S_1. That matrix is symmetric.
    root = _root(covariance_1)
    singular_values = np.sqrt(np.maximum(np.linalg.eigvalsh(root.T @ covariance_2 @ root), 0))
    return float(((mean_1 - mean_2) ** 2).sum() + np.trace(covariance_1) + np.trace(covariance_2) - 2 * singular_values.sum())


def frechet_error(first: np.ndarray, second: np.ndarray) -> float:
    """The standard error of the Fréchet distance between two sets of features, by the delta method.

    Args:
        first: features, (n, Z).
        second: features, (N, Z).

    Returns:
        The standard error, in the unit of the distance.
    """
    return _error(first, moments(first), second, moments(second))


def _error(first: np.ndarray, moments_1: Moments, second: np.ndarray, moments_2: Moments) -> float:
    return float(np.sqrt(_variance(first, moments_1, moments_2) + _variance(second, moments_2, moments_1)))


def _variance(features: np.ndarray, own: Moments, other: Moments) -> float:
    """The part of the distance's variance that one set contributes, by the delta method; features (n, Z) with the moments `own`.

    The influence of one row x of the first set on the distance is

        (2 (m_1 - m_2).(x - m_1) + (x - m_1)' (I - T) (x - m_1)) / n
        T = S_1^(-1/2) (S_1^(1/2) S_2 S_1^(1/2))^(1/2) S_1^(-1/2)

    where T is the linear map that carries the first Gaussian onto the second. The same holds for a row of the second set. The
    variance of the influences is measured on the rows themselves. Where the two distributions agree, the first order vanishes,
    and the noise of the influences stands for the second order.
    """
    own_mean, own_covariance = own
    other_mean, other_covariance = other
    # T = B (B' S_1 B)^(-1/2) B' for any B B' = S_2. This form needs no inverse of S_1.
    root = _root(other_covariance)
    eigenvalues, eigenvectors = np.linalg.eigh(root.T @ own_covariance @ root)
    kept = eigenvalues > NEGLIGIBLE * max(eigenvalues[-1], 0)
    half = root @ eigenvectors[:, kept] * eigenvalues[kept] ** -0.25  # (Z, rank), T = half half'
    influences = np.empty(len(features))
    for i in range(0, len(features), BATCH):
        centered = features[i : i + BATCH] - own_mean  # (B, Z)
        linear = 2 * centered @ (own_mean - other_mean)
        influences[i : i + BATCH] = linear + (centered**2).sum(1) - ((centered @ half) ** 2).sum(1)
    return influences.var(ddof=1) / len(features)


def _root(covariance: np.ndarray) -> np.ndarray:
    """Any A (Z, Z) with A A' = S."""
    try:
        return np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:  # singular: fewer rows than features, or a feature that never changes
        eigenvalues, eigenvectors = np.linalg.eigh(covariance)
        return eigenvectors * np.sqrt(np.maximum(eigenvalues, 0))
