"""Linear support vector machine (SVM): for each class, the hyperplane with the widest margin to all others.

    minimize over w_k, b_k   1/2 |w_k|^2 + C sum_n max(0, 1 - t_nk (w_k . x_n + b_k))^2,     t_nk = 1 if y_n = k, else -1

Only images near the boundary matter: the loss of an image on the right side of its margin is 0. The scores are proportional to
distances from the hyperplanes. They are not fitted as probabilities, so there is no `predict_proba`.

Reference: C. Cortes, V. Vapnik, "Support-vector networks", Machine Learning 20, 1995. https://doi.org/10.1007/BF00994018. Solved
by LIBLINEAR in scikit-learn, one class against the rest, with the squared hinge loss: R.-E. Fan et al., "LIBLINEAR: a library for
large linear classification", Journal of Machine Learning Research 9, 2008. https://www.jmlr.org/papers/v9/fan08a.html
"""

from sklearn.svm import LinearSVC as Estimator

from pofxy.base.classifiers import ScoreClassifierMixin
from pofxy.base.sklearn_models import LinearScoresMixin


class LinearSVM(ScoreClassifierMixin, LinearScoresMixin):
    """scikit-learn's linear SVM on raw pixels or columns.

    Args:
        C: weight of the data against the penalty.
        max_iter: most iterations of coordinate descent.
    """

    def __init__(self, C: float = 0.3, max_iter: int = 5000):
        self.estimator = Estimator(C=C, max_iter=max_iter)
