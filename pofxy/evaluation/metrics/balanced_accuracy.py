"""Balanced accuracy: the share of each class that is found, averaged over the classes.

    1/K sum_k  n_kk / n_k,     n_k test images of class k, n_kk of them labelled k

Rare classes count as much as frequent ones. Source: K. H. Brodersen et al., "The balanced accuracy and its posterior
distribution", ICPR 2010. Trap: with a handful of images in a class, a single one of them moves it far.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "share"
LOWEST = 0.0
HIGHEST = 1.0


def balanced_accuracy(predict, y):
    """The mean recall, 0 to 1, over the classes that occur in y; predict and y (N,)."""
    images = np.bincount(y)
    found = np.bincount(y[predict == y], minlength=len(images))
    return float((found[images > 0] / images[images > 0]).mean())
