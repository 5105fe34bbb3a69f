"""Distinct classes: the share of the classes that occur among the samples.

    1/K |{argmax_k p(k | s_i)}|,      p by the feature net

The plainest sign of mode collapse. Source: L. Metz, B. Poole, D. Pfau, J. Sohl-Dickstein, "Unrolled generative adversarial
networks", ICLR 2017, who count the modes that samples hit. Traps: one sample of a class is enough, and a few samples that the
classifier mistakes can fill an empty class; where classes are many and samples few, true samples miss some as well.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "share"
LOWEST = 0.0
HIGHEST = 1.0


def distinct_classes(sample_probabilities):
    """The share, 0 to 1; sample_probabilities (n, K)."""
    return len(np.unique(sample_probabilities.argmax(1))) / sample_probabilities.shape[1]
