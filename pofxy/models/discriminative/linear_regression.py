"""Linear regression: least squares on one-hot labels, the step before logistic regression.

    minimize over W, b   sum_n |W x_n + b - e(y_n)|^2,      e(k) the unit vector of class k;      predict argmax_k (W x + b)_k

The scores estimate E[e(y) | x] = p(y | x), but they can lie outside [0, 1], so they are not probabilities. With more than two
classes in a line, the middle one can be masked by its neighbors. With constant pixels, or fewer images than pixels, there are
many solutions; the one of the smallest norm is taken.

Reference: T. Hastie, R. Tibshirani, J. Friedman, "The Elements of Statistical Learning", 2nd edition, Springer, 2009, section
4.2. https://doi.org/10.1007/978-0-387-84858-7. Solved by scikit-learn.
"""

import torch
from sklearn.linear_model import LinearRegression as Estimator

from pofxy.base.classifiers import ScoreClassifierMixin
from pofxy.base.data import TrainingData
from pofxy.base.sklearn_models import LinearScoresMixin


class LinearRegression(ScoreClassifierMixin, LinearScoresMixin):
    """scikit-learn's linear regression on raw pixels or columns; it has no hyperparameters."""

    def __init__(self):
        self.estimator = Estimator()

    def fit(self, data: TrainingData, trainer: object) -> None:
        """Solves the least squares problem of the train split; `trainer` is not used."""
        indicators = torch.eye(data.spec.classes, dtype=torch.float64)[data.y]  # (N, K)
        # In double precision: the rounding of a constant pixel must not count as variation.
        self.estimator.fit(data.x.flatten(1).double().numpy(), indicators.numpy())
