"""Class entropy: the effective number of classes among the samples, relative to that among the test images.

    exp(H(classes of the samples) - H(classes of the test images)),      H(q) = -sum_k q_k log q_k

exp(H) is the number of equally frequent classes that have the same entropy. The class of a sample is the feature net's
prediction; that of a test image is its label. 1 is best. Below 1, some classes are sampled too rarely; above 1, rare classes
are sampled too often.

Sources: M. O. Hill, "Diversity and evenness: a unifying notation and its consequences", Ecology, 1973 (exp(H)),
https://doi.org/10.2307/1934352; T. Salimans et al., "Improved techniques for training GANs", NIPS 2016 (the entropy of p(y) of
samples), https://arxiv.org/abs/1606.03498

Trap: it does not see which classes are the frequent ones.
"""

import numpy as np
from scipy.special import entr

HIGHER_IS_BETTER = False
BEST = 1.0
UNIT = "relative number of classes"
LOWEST = 0.0


def class_entropy(sample_probabilities: np.ndarray, y: np.ndarray) -> float:
    """The ratio of the effective numbers of classes.

    Args:
        sample_probabilities: class probabilities of samples by the feature net, (n, K).
        y: labels of the test images, (N,).

    Returns:
        The ratio, at least 0.
    """
    return float(np.exp(_entropy(sample_probabilities.argmax(1)) - _entropy(y)))


def _entropy(classes: np.ndarray) -> float:
    """Entropy in nats of the class frequencies; classes (n,)."""
    return entr(np.bincount(classes) / len(classes)).sum()
