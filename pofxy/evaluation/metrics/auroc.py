"""AUROC: how often an image of a class gets a higher score for it than an image of another class, averaged over the classes.

    1/K sum_k P(s_k(x) > s_k(x')) + 1/2 P(s_k(x) = s_k(x')),     x of class k, x' of any other (one against the rest)

It judges the ranking alone, so a score need not be a probability. Source: J. A. Hanley, B. J. McNeil, "The meaning and use of the
area under a receiver operating characteristic (ROC) curve", Radiology, 1982. Trap: near 1 for every useful classifier of many
classes, where it no longer tells good from better.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "share"
LOWEST = 0.0
HIGHEST = 1.0


def auroc(class_scores, y):
    """The mean area, 0 to 1, over the classes that occur in y beside others; class_scores (N, K), y (N,)."""
    areas = []
    for k in np.unique(y):
        of_class = y == k
        n, rest = of_class.sum(), (~of_class).sum()
        if rest:
            # Mann and Whitney: the sum of the ranks of one class gives the number of pairs that it wins.
            _, inverse, ties = np.unique(class_scores[:, k], return_inverse=True, return_counts=True)
            ranks = (np.cumsum(ties) - (ties - 1) / 2)[inverse]
            areas.append((ranks[of_class].sum() - n * (n + 1) / 2) / (n * rest))
    return float(np.mean(areas))
