"""Distinct classes: the share of the classes that occur among the samples.

    1/K |{argmax_k p(k | s_i)}|,      p by the feature net

The plainest sign of mode collapse.

Source: L. Metz, B. Poole, D. Pfau, J. Sohl-Dickstein, "Unrolled generative adversarial networks", ICLR 2017, where the modes
that samples reach are counted. https://arxiv.org/abs/1611.02163

Traps: one sample of a class is enough, so a few misclassified samples can fill an empty class. Where there are many classes and
few samples, samples from the true distribution miss some classes as well.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "share"
LOWEST = 0.0
HIGHEST = 1.0


def distinct_classes(sample_probabilities: np.ndarray) -> float:
    """Share of the classes to which the feature net assigns at least one sample.

    Args:
        sample_probabilities: class probabilities of samples by the feature net, (n, K).

    Returns:
        The share, 0 to 1.
    """
    return len(np.unique(sample_probabilities.argmax(1))) / sample_probabilities.shape[1]
