"""Accuracy: the share of test images whose predicted label is right.

    1/N sum_n [predict(x_n) = y_n]

Source: T. Hastie, R. Tibshirani, J. Friedman, "The Elements of Statistical Learning", 2nd edition, 2009, section 7.2 (0-1
loss). https://doi.org/10.1007/978-0-387-84858-7

Trap: with classes of unequal size, always predicting the largest class already reaches the share of that class.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "share"
LOWEST = 0.0
HIGHEST = 1.0


def accuracy(predict: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether each predicted label is right.

    Args:
        predict: predicted labels, (N,).
        y: true labels, (N,).

    Returns:
        1.0 where the two agree, else 0.0, (N,).
    """
    return (predict == y).astype(float)
