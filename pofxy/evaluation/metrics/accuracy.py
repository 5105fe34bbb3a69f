"""Accuracy: the share of test images whose label is right.

    1/N sum_n [predict(x_n) = y_n]

Source: T. Hastie, R. Tibshirani, J. Friedman, "The Elements of Statistical Learning", 2nd edition, 2009, section 7.2 (0-1
loss). Trap: with classes of unequal size, always naming the largest one already gets its share.
"""

HIGHER_IS_BETTER = True
UNIT = "share"


def accuracy(predict, y):
    """1 where the label (N,) is the true one (N,), else 0; (N,)."""
    return (predict == y).astype(float)
