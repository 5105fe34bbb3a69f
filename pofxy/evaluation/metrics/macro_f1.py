"""Macro F1: the harmonic mean of precision and recall of each class, averaged over the classes.

    1/K sum_k  2 n_kk / (n_k + m_k),     n_k images of class k, m_k labeled k, n_kk both

It penalizes a class that is predicted for images of other classes as well as a class that is missed.

Source: C. J. van Rijsbergen, "Information Retrieval", 2nd edition, 1979, chapter 7.

Trap: it is the mean of the F1 scores, not the F1 of the mean precision and recall.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "share"
LOWEST = 0.0
HIGHEST = 1.0


def macro_f1(predict: np.ndarray, y: np.ndarray) -> float:
    """Mean F1 over the classes that occur in either array.

    Args:
        predict: predicted labels, (N,).
        y: true labels, (N,).

    Returns:
        The mean F1, 0 to 1.
    """
    classes = int(max(predict.max(), y.max())) + 1
    total = np.bincount(predict, minlength=classes) + np.bincount(y, minlength=classes)
    correct = np.bincount(y[predict == y], minlength=classes)
    occurs = total > 0
    return float((2 * correct[occurs] / total[occurs]).mean())
