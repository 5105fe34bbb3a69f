"""Linear probe: the accuracy of softmax regression on a model's codes, with few labels and with many.

    1/3 sum_l accuracy with l labels for each class,     l = 1, 10, all

Source: G. Alain, Y. Bengio, "Understanding intermediate layers using linear classifier probes", ICLR workshops 2017. Traps: a
longer code is easier to read, so compare with principal components of the same length (the curve has both); and codes of a model
that was trained on the labels say nothing of what can be learned without them.
"""

HIGHER_IS_BETTER = True
UNIT = "accuracy"
LOWEST = 0.0
HIGHEST = 1.0


def linear_probe(latent_probe):
    """Mean accuracy over the numbers of labels for each image, (N,); latent_probe (N, probes, numbers of labels), linear probe first."""
    return latent_probe[:, 0].mean(1)
