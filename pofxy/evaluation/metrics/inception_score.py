"""Inception score: how confident the feature net is of each sample's class, and over how many classes the samples spread.

    exp(1/n sum_i KL(p(y | s_i) || p(y))),      p(y) = 1/n sum_i p(y | s_i),  between 1 and the number of classes

Here it uses the data set's own feature net, and all samples in one split.

Source: T. Salimans et al., "Improved techniques for training GANs", NIPS 2016, section 4. https://arxiv.org/abs/1606.03498

Traps: it does not use real images. A model that repeats one sample per class gets the highest possible score. Where classes are
of unequal size, samples from the true distribution do not reach the number of classes.
"""

import numpy as np
from scipy.special import xlogy

HIGHER_IS_BETTER = True
UNIT = "effective classes"
LOWEST = 1.0


def inception_score(sample_probabilities: np.ndarray) -> float:
    """The score over all samples.

    Args:
        sample_probabilities: class probabilities of samples by the feature net, (n, K).

    Returns:
        The score, 1 to K.
    """
    p = sample_probabilities.astype(float)
    marginal = p.mean(0)  # (K,)
    return float(np.exp(xlogy(p, p).sum(1).mean() - xlogy(marginal, marginal).sum()))
