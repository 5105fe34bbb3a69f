"""ARI of clustered codes: how often k-means clusters and labels agree on pairs of images, corrected for chance.

    ARI = (R - E R) / (1 - E R),     R the share of pairs that are together in both or apart in both; E R by chance

The clusters are those of K-means with as many clusters as classes; no label is used in clustering. Source: L. Hubert, P. Arabie,
"Comparing partitions", Journal of Classification, 1985. Traps: large classes weigh with the square of their size; K-means finds
round clusters of like size alone, and a code may be cut well in another way. The standard error is that of the images, for the
clusters as they are.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "agreement beyond chance"
HIGHEST = 1.0
BOOTSTRAP = 100


def latent_ari(latent_clusters, y):
    """The adjusted Rand index and its standard error; latent_clusters (N,), y (N,)."""
    from sklearn.metrics import adjusted_rand_score

    rows = np.random.default_rng(0).integers(len(y), size=(BOOTSTRAP, len(y)))
    drawn = [adjusted_rand_score(y[row], latent_clusters[row]) for row in rows]
    return float(adjusted_rand_score(y, latent_clusters)), float(np.std(drawn, ddof=1))
