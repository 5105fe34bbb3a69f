"""AUROC: how often an image of a class gets a higher score for that class than an image of another class.

    1/K sum_k P(s_k(x) > s_k(x')) + 1/2 P(s_k(x) = s_k(x')),     x of class k, x' of any other (one against the rest)

The area under the receiver operating characteristic (ROC) curve of each class against the rest, averaged over the classes. It
measures the ranking alone, so a score need not be a probability.

Source: J. A. Hanley, B. J. McNeil, "The meaning and use of the area under a receiver operating characteristic (ROC) curve",
Radiology, 1982. https://doi.org/10.1148/radiology.143.1.7063747

Trap: with many classes it is near 1 for every useful classifier and no longer separates good ones from better ones.
"""

import numpy as np

from pofxy.evaluation.intervals import of_bounded

HIGHER_IS_BETTER = True
UNIT = "share"
LOWEST = 0.0
HIGHEST = 1.0


def auroc(class_scores: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Mean area under the ROC curve, over the classes that occur in y beside other classes.

    Args:
        class_scores: a higher score means that the class is more likely, (N, K).
        y: true labels, (N,).

    Returns:
        The mean area, 0 to 1, and both ends of its interval, by the variance of DeLong et al., Biometrics 1988.
    """
    areas = []
    sizes = []
    influence = np.zeros(len(y))
    for k in np.unique(y):
        of_class = y == k
        n = of_class.sum()
        n_rest = len(y) - n
        if n_rest:
            # Mann and Whitney: the sum of the ranks of one class gives the number of pairs that it wins.
            ranks = _ranks(class_scores[:, k])
            area = (ranks[of_class].sum() - n * (n + 1) / 2) / (n * n_rest)
            # Placement values: the share of the other side that an image wins against.
            influence[of_class] += ((ranks[of_class] - _ranks(class_scores[of_class, k])) / n_rest - area) / n
            influence[~of_class] += (1 - (ranks[~of_class] - _ranks(class_scores[~of_class, k])) / n - area) / n_rest
            areas.append(area)
            sizes.append(min(n, n_rest))
    value = float(np.mean(areas))
    variance = (influence**2).sum() / len(areas) ** 2
    n_balanced = len(areas) ** 2 / (1 / np.array(sizes)).sum()  # images of classes of equal size
    return value, *of_bounded(value, variance, n_balanced)


def _ranks(scores: np.ndarray) -> np.ndarray:
    """Ranks (n,) from 1; ties share the mean of their ranks."""
    _, inverse, ties = np.unique(scores, return_inverse=True, return_counts=True)
    return (np.cumsum(ties) - (ties - 1) / 2)[inverse]
