"""NMI of latent clusters: the mutual information of clusters and labels, relative to their mean entropy.

    NMI = I(c, y) / ((H(c) + H(y)) / 2),     c the clusters of K-means with as many clusters as classes

The normalized mutual information (NMI) of the labels and a K-means clustering of the latents. The clustering uses no label. The
standard error is over the images, for the clusters as they are.

Source: N. X. Vinh, J. Epps, J. Bailey, "Information theoretic measures for clusterings comparison", JMLR 2010, where it is
NMI_sum. https://jmlr.org/papers/v11/vinh10a.html

Traps: it is above 0 for random clusters when images are few (`latent_ari` is corrected for chance). K-means finds only round
clusters of similar size.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "share of entropy"
LOWEST = 0.0
HIGHEST = 1.0


def latent_nmi(latent_clusters: np.ndarray, y: np.ndarray) -> float:
    """The normalized mutual information.

    Args:
        latent_clusters: cluster of the latent of each image, (N,).
        y: true labels, (N,).

    Returns:
        The share, 0 to 1.
    """
    from sklearn.metrics import normalized_mutual_info_score

    return float(normalized_mutual_info_score(y, latent_clusters))
