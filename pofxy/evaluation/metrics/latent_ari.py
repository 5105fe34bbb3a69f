"""ARI of latent clusters: how often clusters and labels agree on pairs of images, corrected for chance.

    ARI = (R - E R) / (1 - E R),     R the share of pairs that are together in both or apart in both; E R by chance

The adjusted Rand index (ARI) of the labels and a K-means clustering of the latents with as many clusters as classes. The
clustering uses no label. The standard error is over the images, for the clusters as they are.

Source: L. Hubert, P. Arabie, "Comparing partitions", Journal of Classification, 1985. https://doi.org/10.1007/BF01908075

Traps: large classes count with the square of their size. K-means finds only round clusters of similar size; another clustering
of the same latents may separate the classes better.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "agreement beyond chance"
LOWEST = -0.5
HIGHEST = 1.0


def latent_ari(latent_clusters: np.ndarray, y: np.ndarray) -> float:
    """The adjusted Rand index.

    Args:
        latent_clusters: cluster of the latent of each image, (N,).
        y: true labels, (N,).

    Returns:
        The index: 1 for the same partition, 0 by chance, possibly below.
    """
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(y, latent_clusters))
