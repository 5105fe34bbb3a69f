"""k nearest neighbours: the label that is most frequent among the k training images that are most like the new one.

    p(y | x) ~ sum_{n in N_k(x)} [y_n = y] / |x - x_n|,      N_k(x) the k nearest in Euclidean distance

Nothing is fitted: the training images are the model. The nearer ones have more say, so that ties are rare and few images do. As
images grow in number its error comes below twice the least possible one, for k = 1 already.

Reference: T. M. Cover, P. E. Hart, "Nearest neighbor pattern classification", IEEE Transactions on Information Theory, 1967; the
inverse distance is one of the weights of S. A. Dudani, IEEE Transactions on Systems, Man, and Cybernetics, 1976; the search is
scikit-learn's.
"""

import torch
from sklearn.neighbors import KNeighborsClassifier as Estimator

from pofxy.base.sklearn_models import SklearnProbabilisticMixin
from pofxy.base.visualization import Visualization

ERRORS_SHOWN = 5


class KNearestNeighbors(SklearnProbabilisticMixin):
    """scikit-learn's, on the pixels or columns as they come.

    Args:
        n_neighbors: k; all images where there are fewer.
    """

    def __init__(self, n_neighbors: int = 5):
        self.n_neighbors = n_neighbors
        self.estimator = Estimator(n_neighbors=n_neighbors, weights="distance", algorithm="brute")

    def fit(self, data, trainer):
        """Keeps the train split."""
        self.estimator.set_params(n_neighbors=min(self.n_neighbors, len(data.x)))
        super().fit(data, trainer)

    def count_parameters(self) -> int:
        """The numbers of all images that were kept."""
        return self.estimator._fit_X.size

    def picture(self, x, y):
        """Errors, each before its neighbours; where there is none, the first images."""
        wrong = torch.nonzero(self.predict(x) != y).flatten()
        shown = x[wrong[:ERRORS_SHOWN] if len(wrong) else range(min(ERRORS_SHOWN, len(x)))]
        index = self.estimator.kneighbors(shown.flatten(1).numpy(), return_distance=False)  # (E, k)
        neighbors = torch.from_numpy(self.estimator._fit_X[index])  # (E, k, D)
        neighbors = neighbors.view(*index.shape, *x.shape[1:])  # -> (E, k, C, H, W)
        images = torch.cat([shown[:, None], neighbors], 1).flatten(0, 1)
        what = "images that it gets wrong" if len(wrong) else "images that it gets right (it errs on none)"
        return Visualization(
            images, columns=1 + index.shape[1], caption=f"On the left {what}, then their nearest training images."
        )
