"""Macro F1: the harmonic mean of precision and recall of each class, averaged over the classes.

    1/K sum_k  2 n_kk / (n_k + m_k),     n_k images of class k, m_k labelled k, n_kk both

It punishes a class that attracts what is none of its own as well as one that is missed. Source: C. J. van Rijsbergen,
"Information Retrieval", 2nd edition, 1979, chapter 7. Trap: the mean of the F1 scores, not the F1 of the mean precision and
recall.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "share"
LOWEST = 0.0
HIGHEST = 1.0


def macro_f1(predict, y):
    """The mean F1, 0 to 1, over the classes that occur in either; predict and y (N,)."""
    classes = int(max(predict.max(), y.max())) + 1
    named, images = np.bincount(predict, minlength=classes), np.bincount(y, minlength=classes)
    both = np.bincount(y[predict == y], minlength=classes)
    occurs = named + images > 0
    return float((2 * both[occurs] / (named + images)[occurs]).mean())
