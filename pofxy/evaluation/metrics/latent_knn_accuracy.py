"""k-NN accuracy on latents: the accuracy of k-nearest-neighbor classification on latents, with few labels and with many.

    1/3 sum_l accuracy with l labels for each class,     l = 1 (one neighbor), 10 and all (five neighbors)

It measures what a linear probe does not: whether images with nearby latents are alike.

Source: Z. Wu, Y. Xiong, S. X. Yu, D. Lin, "Unsupervised feature learning via non-parametric instance discrimination", CVPR
2018. https://arxiv.org/abs/1805.01978

Trap: distances depend on the scale of each dimension. A dimension of large variance that carries no information hides the
others. Compare with principal components of the same number of dimensions (the curve has both).
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "accuracy"
LOWEST = 0.0
HIGHEST = 1.0


def latent_knn_accuracy(latent_probe: np.ndarray) -> np.ndarray:
    """Mean accuracy of each image over the numbers of labels.

    Args:
        latent_probe: accuracy, (N, probes, numbers of labels), k-NN second.

    Returns:
        The mean, 0 to 1, (N,).
    """
    return latent_probe[:, 1].mean(1)
