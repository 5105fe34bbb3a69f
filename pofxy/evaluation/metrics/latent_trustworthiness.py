"""Trustworthiness of the latent map: how far neighbors in a two-dimensional map of the latents are neighbors in latent space.

    1 - 2 / (N k (2 N - 3 k - 1)) sum_n sum_(m in U_n) (r(n, m) - k),     k = 5

U_n are the images among the k nearest neighbors of n in the map that are not among its k nearest in latent space; r(n, m) is
their rank there. The map is t-SNE (t-distributed stochastic neighbor embedding) of the first 500 latents. The score says how
much of the report's picture of the latents can be trusted, and so how close the latents lie to a surface. The standard error is
over the images, for the map as it is.

Sources: J. Venna, S. Kaski, "Neighborhood preservation in nonlinear projection methods: an experimental study", ICANN 2001,
https://doi.org/10.1007/3-540-44668-0_68; L. van der Maaten, G. Hinton, "Visualizing data using t-SNE", JMLR 2008,
https://jmlr.org/papers/v9/vandermaaten08a.html

Traps: it says nothing about labels. Distances between groups of a t-SNE map have no meaning. Latents of two dimensions are
their own map and score 1.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "trustworthiness"
FEWEST_ROWS = 2
# No LOWEST: an interval by the whole range would be several times too wide, as no latent comes near its lower end of 0.
HIGHEST = 1.0
N_NEIGHBORS = 5


def latent_trustworthiness(latents: np.ndarray, latent_map: np.ndarray) -> tuple[float, float]:
    """Trustworthiness of a map of the first M latents.

    Args:
        latents: (N, Z).
        latent_map: coordinates of the first M latents in the map, (M, 2).

    Returns:
        Trustworthiness, 0 to 1, and its standard error.
    """
    n = len(latent_map)
    k = max(min(N_NEIGHBORS, (n - 1) // 2), 1)
    rank = _distances(latents[:n]).argsort(1).argsort(1)  # (M, M) of m among the neighbors of n in latent space; 0 for n itself
    nearest = _distances(latent_map).argsort(1)[:, 1 : k + 1]  # (M, k)
    excess = np.maximum(np.take_along_axis(rank, nearest, 1) - k, 0).sum(1)
    # Of two points each is the only neighbor of the other, so there is no excess at all, nor a largest one to divide by.
    trust = 1 - excess / max(k * (2 * n - 3 * k - 1) / 2, 1)
    return float(trust.mean()), float(trust.std(ddof=1) / np.sqrt(n))


def _distances(points: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances (N, N); those of a point to itself are -1, so that it comes first among copies."""
    from scipy.spatial.distance import cdist

    squared = cdist(points, points, "sqeuclidean")
    np.fill_diagonal(squared, -1)
    return squared
