"""Trustworthiness of the map of latents: how far neighbours in a plane drawing of the latents are neighbours in the code.

    1 - 2 / (N k (2 N - 3 k - 1)) sum_n sum_(m in U_n) (r(n, m) - k),     k = 5

U_n are the images among the k nearest of n in the map that are not so in the code, r(n, m) their rank there. The map is t-SNE's
of the first 500 latents. It says how much of what the report's picture shows can be believed, and with that how near to a surface
the latents lie. Sources: J. Venna, S. Kaski, "Neighborhood preservation in nonlinear projection methods: an experimental study",
ICANN 2001; t-SNE: L. van der Maaten, G. Hinton, JMLR 2008. Traps: it says nothing of labels; distances between groups of a t-SNE
map mean nothing; a code of two dimensions is its own map and has 1. The standard error is that of the images, for the map as it
is.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "trustworthiness"
LOWEST = 0.0
HIGHEST = 1.0
NEIGHBORS = 5


def latent_trustworthiness(latents, latent_map):
    """Trustworthiness, 0 to 1, and its standard error; latents (N, Z), latent_map (M, 2) of the first M of them."""
    n, k = len(latent_map), min(NEIGHBORS, (len(latent_map) - 1) // 2)
    rank = _distances(latents[:n]).argsort(1).argsort(1)  # of m among the neighbours of n in the code; 0 for n itself
    near = _distances(latent_map).argsort(1)[:, 1 : k + 1]
    excess = np.maximum(np.take_along_axis(rank, near, 1) - k, 0).sum(1)
    trust = 1 - 2 / (k * (2 * n - 3 * k - 1)) * excess
    return float(trust.mean()), float(trust.std(ddof=1) / np.sqrt(n))


def _distances(points):
    """Squared Euclidean distances (N, N); no point is nearer to another than to itself."""
    from scipy.spatial.distance import cdist

    found = cdist(points, points, "sqeuclidean")
    np.fill_diagonal(found, -1)
    return found
