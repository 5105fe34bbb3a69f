"""Linear regression: least squares on the labels as indicators, the step before logistic regression.

    minimise over W, b   sum_n |W x_n + b - e(y_n)|^2,      e(k) the unit vector of class k;      predict argmax_k (W x + b)_k

The scores estimate E[e(y) | x] = p(y | x), but nothing keeps them between 0 and 1, so they are no probabilities. With more than
two classes in a line the middle one can be masked by its neighbours. Where pixels are constant or fewer images than pixels are
given, the solution of the smallest norm is taken.

Reference: T. Hastie, R. Tibshirani, J. Friedman, "The Elements of Statistical Learning", 2nd edition, 2009, section 4.2; solved
by scikit-learn.
"""

import torch
from sklearn.linear_model import LinearRegression as Estimator

from pofxy.base.classifiers import ScoreClassifierMixin
from pofxy.base.sklearn_models import LinearScoresMixin


class LinearRegression(ScoreClassifierMixin, LinearScoresMixin):
    """scikit-learn's, on the pixels or columns as they come; it has no setting."""

    def __init__(self):
        self.estimator = Estimator()

    def fit(self, data, trainer):
        """Solves for the train split."""
        indicators = torch.eye(data.spec.classes, dtype=torch.float64)[data.y]  # (N, K)
        # In double precision: a constant pixel and its rounding must not look like a direction.
        self.estimator.fit(data.x.flatten(1).double().numpy(), indicators.numpy())
