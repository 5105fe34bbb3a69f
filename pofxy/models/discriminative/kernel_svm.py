"""Kernel support vector machine (SVM): the widest margin in the feature space of a radial basis function kernel.

    f(x) = sum_{n in SV} a_n t_n k(x_n, x) + b,      k(x, x') = exp(-g |x - x'|^2)

A training image with a_n > 0 is a support vector: it lies on or inside the margin. Removing all other images would change
nothing. There is one binary machine for each pair of classes, and the label is decided by a vote. There is no `predict_proba`:
the model is not probabilistic, and Platt scaling would be a second model on top.

Reference: C. Cortes, V. Vapnik, "Support-vector networks", Machine Learning 20, 1995. https://doi.org/10.1007/BF00994018. Solved
by LIBSVM in scikit-learn: C.-C. Chang, C.-J. Lin, "LIBSVM: a library for support vector machines", ACM Transactions on
Intelligent Systems and Technology 2(3), 2011. https://doi.org/10.1145/1961189.1961199
"""

from itertools import pairwise

import torch
from sklearn.svm import SVC as Estimator
from torch import Tensor

from pofxy.base.sklearn_models import SklearnMixin
from pofxy.base.visualization import Visualization

MAX_SHOWN_PER_CLASS = 5


class KernelSVM(SklearnMixin):
    """scikit-learn's SVM on raw pixels or columns; g is its default, 1 / (D var x).

    Args:
        C: weight of the data against the margin.
    """

    def __init__(self, C: float = 3.0):
        self.estimator = Estimator(C=C)

    def count_parameters(self) -> int:
        """The support vectors, their weights in each machine, and the offsets."""
        return self.estimator.support_vectors_.size + self.estimator.dual_coef_.size + self.estimator.intercept_.size

    def picture(self, x: Tensor, y: Tensor) -> Visualization:
        """The support vectors with the largest weights of each class: the images that were hardest to classify."""
        weight = abs(self.estimator.dual_coef_).max(0)  # (SV,), sorted by class
        starts = [0, *self.estimator.n_support_.cumsum()]
        hardest = [start + weight[start:end].argsort()[::-1][:MAX_SHOWN_PER_CLASS] for start, end in pairwise(starts)]
        n_rows = min(len(indices) for indices in hardest)
        order = [indices[row] for row in range(n_rows) for indices in hardest]  # one class per column
        images = torch.from_numpy(self.estimator.support_vectors_[order]).float().view(-1, *x.shape[1:])  # (n, D) -> (n, C, H, W)
        share = f"{len(weight):,} of the {self.estimator.shape_fit_[0]:,} training images are support vectors"
        caption = f"{share}; each column shows those of one class with the largest weights."
        return Visualization(images, columns=len(hardest), caption=caption)
