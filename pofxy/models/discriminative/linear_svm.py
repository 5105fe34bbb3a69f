"""Linear support vector machine: for each class, the hyperplane with the widest margin to all others.

    minimise over w_k, b_k   1/2 |w_k|^2 + C sum_n max(0, 1 - t_nk (w_k . x_n + b_k))^2,     t_nk = 1 if y_n = k, else -1

Only images near the boundary count; what lies on the right side of its margin has no say. The scores are distances, not
probabilities: nothing was fitted to make them so, hence there is no `predict_proba`.

Reference: C. Cortes, V. Vapnik, "Support-vector networks", Machine Learning, 1995; solved by LIBLINEAR in scikit-learn, one class
against the rest, with the squared hinge (R.-E. Fan et al., JMLR 2008).
"""

from sklearn.svm import LinearSVC as Estimator

from pofxy.base.classifiers import ScoreClassifierMixin
from pofxy.base.sklearn_models import LinearScoresMixin


class LinearSVM(ScoreClassifierMixin, LinearScoresMixin):
    """scikit-learn's, on the pixels or columns as they come.

    Args:
        C: C, the weight of the data against the penalty.
        max_iter: of coordinate descent.
    """

    def __init__(self, C: float = 0.3, max_iter: int = 5000):
        self.estimator = Estimator(C=C, max_iter=max_iter)
