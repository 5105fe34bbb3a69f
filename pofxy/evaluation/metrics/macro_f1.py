"""Macro F1: the harmonic mean of precision and recall of each class, averaged over the classes.

    1/K sum_k  2 n_kk / (n_k + m_k),     n_k images of class k, m_k labeled k, n_kk both

It penalizes a class that is predicted for images of other classes as well as a class that is missed.

Source: C. J. van Rijsbergen, "Information Retrieval", 2nd edition, 1979, chapter 7.

Trap: it is the mean of the F1 scores, not the F1 of the mean precision and recall.
"""

import numpy as np

from pofxy.evaluation.intervals import of_bounded

HIGHER_IS_BETTER = True
UNIT = "share"
LOWEST = 0.0
HIGHEST = 1.0


def macro_f1(predict: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Mean F1 over the classes that occur in either array.

    Args:
        predict: predicted labels, (N,).
        y: true labels, (N,).

    Returns:
        The mean F1, 0 to 1, and both ends of its interval by the delta method.
    """
    classes = int(max(predict.max(), y.max())) + 1
    total = np.bincount(predict, minlength=classes) + np.bincount(y, minlength=classes)
    correct = np.bincount(y[predict == y], minlength=classes)
    occurs = total > 0
    f1 = np.where(occurs, 2 * correct / np.maximum(total, 1), 0)
    value = float(f1[occurs].mean())
    # What one image changes: in F1 = 2 c / t it adds to c of its class if it is right, and to t of its label and its prediction.
    weight = occurs / np.maximum(total, 1) / occurs.sum()  # (classes,)
    influence = 2 * (predict == y) * weight[y] - (f1 * weight)[y] - (f1 * weight)[predict]  # (N,)
    images = total[occurs] / 2
    n = len(images) ** 2 / (1 / images).sum()  # of classes of equal size
    return value, *of_bounded(value, (influence**2).sum(), n)
