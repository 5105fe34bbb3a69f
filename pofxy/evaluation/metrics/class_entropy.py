"""Class entropy: how many classes the samples are spread over, against the test images.

    exp(H(classes of the samples) - H(classes of the test images)),      H(q) = -sum_k q_k log q_k

exp(H) is the number of classes of equal size that would be as even. The class of a sample is the feature net's guess, that of a
test image its label. 1 is right: below, some classes are made too seldom; above, rare ones too often. Sources: M. O. Hill,
"Diversity and evenness: a unifying notation and its consequences", Ecology, 1973 (exp(H)); T. Salimans et al., "Improved
techniques for training GANs", NIPS 2016 (the entropy of p(y) of samples). Trap: it does not see which classes are the frequent
ones.
"""

import numpy as np
from scipy.special import entr

HIGHER_IS_BETTER = False
BEST = 1.0
UNIT = "relative number of classes"
LOWEST = 0.0


def class_entropy(sample_probabilities, y):
    """The ratio of the effective numbers of classes; sample_probabilities (n, K), y (N,)."""
    return float(np.exp(_entropy(sample_probabilities.argmax(1)) - _entropy(y)))


def _entropy(classes):
    return entr(np.bincount(classes) / len(classes)).sum()
