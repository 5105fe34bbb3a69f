"""Logistic regression: a linear classifier that gives probabilities.

    p(y = k | x) = exp(w_k . x + b_k) / sum_j exp(w_j . x + b_j),
    minimise over w, b   -C sum_n log p(y_n | x_n) + 1/2 sum_k |w_k|^2

The discriminative partner of naive Bayes: the same family of decision boundaries, fitted to p(y | x) instead of p(x, y).

Reference: D. R. Cox, "The regression analysis of binary sequences", J. Royal Statistical Society B, 1958; fitted by scikit-learn.
"""

from sklearn.linear_model import LogisticRegression as Estimator

from pofxy.base.sklearn_models import LinearScoresMixin, SklearnProbabilisticMixin


class LogisticRegression(SklearnProbabilisticMixin, LinearScoresMixin):
    """scikit-learn's, on the pixels or columns as they come.

    Args:
        C: C, the weight of the data against the penalty.
        max_iter: of L-BFGS.
    """

    def __init__(self, C: float = 1.0, max_iter: int = 1000):
        self.estimator = Estimator(C=C, max_iter=max_iter)
