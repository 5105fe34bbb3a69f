"""Mean and covariance of features, the Fréchet distance of two such pairs, and how much it varies from set to set.

    d = |m_1 - m_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2))

What three metrics share; the one module of the package that metrics may import.
"""

import numpy as np

# Rows at once in double precision.
BATCH = 4096
# Eigenvalues below this share of the largest one are rounding errors.
NEGLIGIBLE = 1e-12


def moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (Z,) and unbiased covariance (Z, Z) of features (n, Z), in float64."""
    mean = features.mean(0, dtype=float)
    scatter = np.zeros((features.shape[1], features.shape[1]))
    for i in range(0, len(features), BATCH):
        part = features[i : i + BATCH] - mean  # (B, Z)
        scatter += part.T @ part
    return mean, scatter / (len(features) - 1)


def frechet(first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]) -> float:
    """The squared 2-Wasserstein distance of two Gaussians, each given by its moments (Z,), (Z, Z)."""
    (mean_1, covariance_1), (mean_2, covariance_2) = first, second
    # tr (S_1 S_2)^(1/2) = sum of the roots of the eigenvalues of A' S_2 A for any A A' = S_1: that matrix is symmetric.
    root = _root(covariance_1)
    roots = np.sqrt(np.maximum(np.linalg.eigvalsh(root.T @ covariance_2 @ root), 0))
    return float(((mean_1 - mean_2) ** 2).sum() + np.trace(covariance_1) + np.trace(covariance_2) - 2 * roots.sum())


def frechet_error(first: np.ndarray, second: np.ndarray) -> float:
    """The standard error of the distance between two sets of features, (n, Z) and (N, Z), by the delta method.

    The distance changes with one row x of the first set by 2 (m_1 - m_2).(x - m_1) + (x - m_1)' (I - T) (x - m_1) over n, with
    T = S_1^(-1/2) (S_1^(1/2) S_2 S_1^(1/2))^(1/2) S_1^(-1/2), the map that carries one Gaussian onto the other; and so with one
    of the second. These changes are measured on the rows themselves, so that where the laws agree, and the first order
    vanishes, their noise stands for the second order.
    """
    both = moments(first), moments(second)
    return float(np.sqrt(_variance(first, *both) + _variance(second, *both[::-1])))


def _variance(features, own, other) -> float:
    # T = B (B' S_1 B)^(-1/2) B' for any B B' = S_2, which needs no inverse of S_1.
    root = _root(other[1])
    values, vectors = np.linalg.eigh(root.T @ own[1] @ root)
    some = values > NEGLIGIBLE * max(values[-1], 0)
    half = root @ vectors[:, some] * values[some] ** -0.25  # (Z, rank), T = half half'
    changes = np.empty(len(features))
    for i in range(0, len(features), BATCH):
        part = features[i : i + BATCH] - own[0]  # (B, Z)
        changes[i : i + BATCH] = 2 * part @ (own[0] - other[0]) + (part**2).sum(1) - ((part @ half) ** 2).sum(1)
    return changes.var(ddof=1) / len(features)


def _root(covariance):
    """Any A (Z, Z) with A A' = S."""
    try:
        return np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:  # singular: fewer rows than features, or a feature that never changes
        values, vectors = np.linalg.eigh(covariance)
        return vectors * np.sqrt(np.maximum(values, 0))
