"""Neighbours of codes: the accuracy of a vote of the nearest labelled codes, with few labels and with many.

    1/3 sum_l accuracy with l labels for each class,     l = 1 (one neighbour), 10 and all (five neighbours)

It asks of a code what a linear probe does not: that images near in it are alike. Source: Z. Wu, Y. Xiong, S. X. Yu, D. Lin,
"Unsupervised feature learning via non-parametric instance discrimination", CVPR 2018. Trap: distances hang on the scale of each
dimension, and a wide one that means nothing drowns the others; compare with principal components of the same length (the curve
has both).
"""

HIGHER_IS_BETTER = True
UNIT = "accuracy"
LOWEST = 0.0
HIGHEST = 1.0


def latent_knn_accuracy(latent_probe):
    """Mean accuracy over the numbers of labels for each image, (N,); latent_probe (N, probes, numbers of labels), k-NN second."""
    return latent_probe[:, 1].mean(1)
