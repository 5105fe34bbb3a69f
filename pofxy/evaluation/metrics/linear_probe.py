"""Linear probe: the accuracy of softmax regression on a model's latents, with few labels and with many.

    1/3 sum_l accuracy with l labels for each class,     l = 1, 10, all

Source: G. Alain, Y. Bengio, "Understanding intermediate layers using linear classifier probes", ICLR workshops 2017.
https://arxiv.org/abs/1610.01644

Traps: more dimensions make linear classification easier, so compare with principal components of the same number of dimensions
(the curve has both). Latents of a model that was trained on the labels say nothing about what can be learned without labels.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "accuracy"
LOWEST = 0.0
HIGHEST = 1.0


def linear_probe(latent_probe: np.ndarray) -> np.ndarray:
    """Mean accuracy of each image over the numbers of labels.

    Args:
        latent_probe: accuracy, (N, probes, numbers of labels), linear probe first.

    Returns:
        The mean, 0 to 1, (N,).
    """
    return latent_probe[:, 0].mean(1)
