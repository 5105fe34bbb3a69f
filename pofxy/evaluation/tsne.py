"""t-SNE: a two-dimensional map of latents of any size (t-distributed stochastic neighbor embedding).

Reference: L. van der Maaten, G. Hinton, "Visualizing data using t-SNE", Journal of Machine Learning Research 9, 2008.
https://jmlr.org/papers/v9/vandermaaten08a.html
"""

import numpy as np

ROWS = 500


def embed(latents: np.ndarray) -> np.ndarray:
    """Coordinates of the first 500 latents in a two-dimensional t-SNE map, with a fixed seed.

    Args:
        latents: (N, Z). Latents of one or two dimensions are their own map.

    Returns:
        (min(N, 500), 2) float32.
    """
    latents = latents[:ROWS].astype(np.float32)
    if latents.shape[1] <= 2:
        return np.pad(latents, ((0, 0), (0, 2 - latents.shape[1])))
    from sklearn.manifold import TSNE

    # Half of the usual number of iterations: the rest would move the points by less than can be seen in the map.
    perplexity = min(30, (len(latents) - 1) / 3)
    return TSNE(max_iter=500, perplexity=perplexity, init="pca", random_state=0).fit_transform(latents)
