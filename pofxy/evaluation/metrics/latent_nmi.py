"""NMI of clustered codes: the mutual information of k-means clusters and labels, as a share of their mean entropy.

    NMI = I(c, y) / ((H(c) + H(y)) / 2),     c the clusters of K-means with as many clusters as classes

No label is used in clustering. Source: N. X. Vinh, J. Epps, J. Bailey, "Information theoretic measures for clusterings
comparison", JMLR 2010, where it is NMI_sum. Traps: it is above 0 for clusters made at random when images are few (latent_ari is
corrected for chance); K-means finds round clusters of like size alone. The standard error is that of the images, for the clusters
as they are.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "share of entropy"
LOWEST = 0.0
HIGHEST = 1.0
BOOTSTRAP = 100


def latent_nmi(latent_clusters, y):
    """The normalised mutual information and its standard error; latent_clusters (N,), y (N,)."""
    from sklearn.metrics import normalized_mutual_info_score

    rows = np.random.default_rng(0).integers(len(y), size=(BOOTSTRAP, len(y)))
    drawn = [normalized_mutual_info_score(y[row], latent_clusters[row]) for row in rows]
    return float(normalized_mutual_info_score(y, latent_clusters)), float(np.std(drawn, ddof=1))
