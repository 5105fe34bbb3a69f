"""Logistic regression: a linear classifier with probabilities.

    p(y = k | x) = exp(w_k . x + b_k) / sum_j exp(w_j . x + b_j),
    minimize over w, b   -C sum_n log p(y_n | x_n) + 1/2 sum_k |w_k|^2

The discriminative counterpart of naive Bayes: the same family of decision boundaries, fitted to p(y | x) instead of p(x, y).

Reference: D. R. Cox, "The regression analysis of binary sequences", Journal of the Royal Statistical Society B 20(2), 1958.
https://doi.org/10.1111/j.2517-6161.1958.tb00292.x. Fitted by scikit-learn.
"""

from sklearn.linear_model import LogisticRegression as Estimator

from pofxy.base.sklearn_models import LinearScoresMixin, SklearnProbabilisticMixin


class LogisticRegression(SklearnProbabilisticMixin, LinearScoresMixin):
    """scikit-learn's logistic regression on raw pixels or columns.

    Args:
        C: weight of the data against the penalty.
        max_iter: most iterations of L-BFGS.
    """

    def __init__(self, C: float = 1.0, max_iter: int = 1000):
        self.estimator = Estimator(C=C, max_iter=max_iter)
