"""Inception score: how sure the feature net is of each sample's class, and how many classes it sees.

    exp(1/n sum_i KL(p(y | s_i) || p(y))),      p(y) = 1/n sum_i p(y | s_i),  between 1 and the number of classes

Here by the data set's own feature net, in one split. Source: T. Salimans et al., "Improved techniques for training GANs", NIPS
2016, section 4. Traps: it never looks at real images; one sample per class, over and over, gets the highest score there is;
where classes are of unequal size, true samples do not reach their number.
"""

import numpy as np
from scipy.special import xlogy

HIGHER_IS_BETTER = True
UNIT = "effective classes"
LOWEST = 1.0


def inception_score(sample_probabilities):
    """The score; sample_probabilities (n, K)."""
    p = sample_probabilities.astype(float)
    marginal = p.mean(0)
    return float(np.exp(xlogy(p, p).sum(1).mean() - xlogy(marginal, marginal).sum()))
