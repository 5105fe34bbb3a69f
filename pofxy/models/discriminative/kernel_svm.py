"""Kernel support vector machine: the widest margin in the space of a radial kernel.

    f(x) = sum_{n in SV} a_n t_n k(x_n, x) + b,      k(x, x') = exp(-g |x - x'|^2)

A training image with a_n > 0 is a support vector: it lies on the margin or within, and the rest could be thrown away without
any change. Each pair of classes has its own machine, and the label is voted for. There is no `predict_proba`: it is not
probabilistic, and Platt's scaling would be another model on top.

Reference: C. Cortes, V. Vapnik, "Support-vector networks", Machine Learning, 1995; solved by LIBSVM in scikit-learn.
"""

from itertools import pairwise

import torch
from sklearn.svm import SVC as Estimator

from pofxy.base.sklearn_models import SklearnMixin
from pofxy.base.visualization import Visualization


class KernelSVM(SklearnMixin):
    """scikit-learn's, on the pixels or columns as they come; g = 1 / (D var x).

    Args:
        C: C, the weight of the data against the margin.
    """

    def __init__(self, C: float = 3.0):
        self.estimator = Estimator(C=C)

    def count_parameters(self) -> int:
        """The support vectors, their weights in each machine, and the offsets."""
        return self.estimator.support_vectors_.size + self.estimator.dual_coef_.size + self.estimator.intercept_.size

    def picture(self, x, y):
        """Of each class, the support vectors with the largest weights: the images that were hardest to tell."""
        e, chosen = self.estimator, []
        weight = abs(e.dual_coef_).max(0)  # (SV,)
        starts = [0, *e.n_support_.cumsum()]
        for start, end in pairwise(starts):
            chosen.append(start + weight[start:end].argsort()[::-1][:5])
        columns = min(len(part) for part in chosen)
        rows = [index for place in range(columns) for index in (part[place] for part in chosen)]  # a class a column
        images = torch.from_numpy(e.support_vectors_[rows]).float().view(-1, *x.shape[1:])
        share = f"{len(weight):,} of the {e.shape_fit_[0]:,} training images are support vectors"
        return Visualization(images, columns=len(chosen), caption=f"{share}; below each class, those with the largest weights.")
