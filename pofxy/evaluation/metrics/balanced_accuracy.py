"""Balanced accuracy: the recall of each class, averaged over the classes.

    1/K sum_k  n_kk / n_k,     n_k test images of class k, n_kk of them labeled k

Rare classes count as much as frequent classes.

Source: K. H. Brodersen et al., "The balanced accuracy and its posterior distribution", ICPR 2010.
https://doi.org/10.1109/ICPR.2010.764

Trap: where a class has only a few images, a single one of them changes the score a lot.
"""

import numpy as np

from pofxy.evaluation.intervals import of_bounded

HIGHER_IS_BETTER = True
UNIT = "share"
LOWEST = 0.0
HIGHEST = 1.0


def balanced_accuracy(predict: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Mean recall over the classes that occur in y.

    Args:
        predict: predicted labels, (N,).
        y: true labels, (N,).

    Returns:
        The mean recall, 0 to 1, and both ends of its interval.
    """
    images = np.bincount(y)
    correct = np.bincount(y[predict == y], minlength=len(images))
    occurs = images > 0
    images = images[occurs]
    recall = correct[occurs] / images
    variance = (recall * (1 - recall) / images).mean() / len(images)
    # As many images in classes of equal size would have the same variance.
    n = len(images) ** 2 / (1 / images).sum()
    value = float(recall.mean())
    return value, *of_bounded(value, variance, n)
