"""Balanced accuracy: the recall of each class, averaged over the classes.

    1/K sum_k  n_kk / n_k,     n_k test images of class k, n_kk of them labeled k

Rare classes count as much as frequent classes.

Source: K. H. Brodersen et al., "The balanced accuracy and its posterior distribution", ICPR 2010.
https://doi.org/10.1109/ICPR.2010.764

Trap: where a class has only a few images, a single one of them changes the score a lot.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "share"
LOWEST = 0.0
HIGHEST = 1.0


def balanced_accuracy(predict: np.ndarray, y: np.ndarray) -> float:
    """Mean recall over the classes that occur in y.

    Args:
        predict: predicted labels, (N,).
        y: true labels, (N,).

    Returns:
        The mean recall, 0 to 1.
    """
    images = np.bincount(y)
    correct = np.bincount(y[predict == y], minlength=len(images))
    return float((correct[images > 0] / images[images > 0]).mean())
