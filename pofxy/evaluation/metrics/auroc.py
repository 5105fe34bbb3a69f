"""AUROC: how often an image of a class gets a higher score for that class than an image of another class.

    1/K sum_k P(s_k(x) > s_k(x')) + 1/2 P(s_k(x) = s_k(x')),     x of class k, x' of any other (one against the rest)

The area under the receiver operating characteristic (ROC) curve of each class against the rest, averaged over the classes. It
measures the ranking alone, so a score need not be a probability.

Source: J. A. Hanley, B. J. McNeil, "The meaning and use of the area under a receiver operating characteristic (ROC) curve",
Radiology, 1982. https://doi.org/10.1148/radiology.143.1.7063747

Trap: with many classes it is near 1 for every useful classifier and no longer separates good ones from better ones.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "share"
LOWEST = 0.0
HIGHEST = 1.0


def auroc(class_scores: np.ndarray, y: np.ndarray) -> float:
    """Mean area under the ROC curve, over the classes that occur in y beside other classes.

    Args:
        class_scores: a higher score means that the class is more likely, (N, K).
        y: true labels, (N,).

    Returns:
        The mean area, 0 to 1.
    """
    areas = []
    for k in np.unique(y):
        of_class = y == k
        n = of_class.sum()
        n_rest = (~of_class).sum()
        if n_rest:
            # Mann and Whitney: the sum of the ranks of one class gives the number of pairs that it wins.
            _, inverse, ties = np.unique(class_scores[:, k], return_inverse=True, return_counts=True)
            ranks = (np.cumsum(ties) - (ties - 1) / 2)[inverse]  # (N,), ties share the mean of their ranks
            areas.append((ranks[of_class].sum() - n * (n + 1) / 2) / (n * n_rest))
    return float(np.mean(areas))
