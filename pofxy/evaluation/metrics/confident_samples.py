"""Confident samples: the share of samples to which the feature net gives one class a probability of at least 95 %.

    1/n sum_i [max_k p(k | s_i) >= .95]

Samples between two classes, or of no class, lower the score.

Source: T. Salimans et al., "Improved techniques for training GANs", NIPS 2016, section 4 (images that contain an object have a
p(y | x) of low entropy). https://arxiv.org/abs/1606.03498

Traps: a classifier can be confident on noise. Read it beside `real_train`, as not even all real images reach 95 %.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "share"
LOWEST = 0.0
HIGHEST = 1.0
CONFIDENT = 0.95


def confident_samples(sample_probabilities: np.ndarray) -> np.ndarray:
    """Whether the feature net is confident of the class of each sample.

    Args:
        sample_probabilities: class probabilities of samples by the feature net, (n, K).

    Returns:
        1.0 where the largest probability is at least 0.95, else 0.0, (n,).
    """
    return (sample_probabilities.max(1) >= CONFIDENT).astype(float)
