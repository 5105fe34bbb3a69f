"""k-nearest neighbors: a vote among the k training images that are closest to the new one.

    p(y | x) ~ sum_{n in N_k(x)} [y_n = y] / |x - x_n|,      N_k(x) the k nearest in Euclidean distance

Nothing is fitted: the training images are the model. Weighting by inverse distance breaks ties and works with few training
images. As the number of training images grows, the error becomes at most twice the smallest possible one, even for k = 1.

Reference: T. M. Cover, P. E. Hart, "Nearest neighbor pattern classification", IEEE Transactions on Information Theory 13(1),
1967. https://doi.org/10.1109/TIT.1967.1053964. Inverse distance is one of the weights in S. A. Dudani, "The distance-weighted
k-nearest-neighbor rule", IEEE Transactions on Systems, Man, and Cybernetics 6(4), 1976.
https://doi.org/10.1109/TSMC.1976.5408784. The search is scikit-learn's.
"""

import torch
from sklearn.neighbors import KNeighborsClassifier as Estimator
from torch import Tensor

from pofxy.base.data import TrainingData
from pofxy.base.sklearn_models import SklearnProbabilisticMixin
from pofxy.base.visualization import Visualization

MAX_IMAGES_SHOWN = 5


class KNearestNeighbors(SklearnProbabilisticMixin):
    """scikit-learn's k-nearest neighbors on raw pixels or columns.

    Args:
        n_neighbors: k; all training images where there are fewer.
    """

    def __init__(self, n_neighbors: int = 5):
        self.n_neighbors = n_neighbors
        self.estimator = Estimator(n_neighbors=n_neighbors, weights="distance", algorithm="brute")

    def fit(self, data: TrainingData, trainer: object) -> None:
        """Stores the train split; `trainer` is not used."""
        self.estimator.set_params(n_neighbors=min(self.n_neighbors, len(data.x)))
        super().fit(data, trainer)

    def count_parameters(self) -> int:
        """The numbers of all stored images."""
        return self.estimator._fit_X.size

    def picture(self, x: Tensor, y: Tensor) -> Visualization:
        """Misclassified images, each followed by its neighbors; the first images where there is no error."""
        errors = torch.nonzero(self.predict(x) != y).flatten()
        shown = x[errors[:MAX_IMAGES_SHOWN] if len(errors) else range(min(MAX_IMAGES_SHOWN, len(x)))]
        indices = self.estimator.kneighbors(shown.flatten(1).numpy(), return_distance=False)  # (E, k)
        neighbors = torch.from_numpy(self.estimator._fit_X[indices])  # (E, k, D)
        neighbors = neighbors.view(*indices.shape, *x.shape[1:])  # -> (E, k, C, H, W)
        images = torch.cat([shown[:, None], neighbors], 1).flatten(0, 1)  # (E, 1 + k, C, H, W) -> (E (1 + k), C, H, W)
        left = "misclassified images" if len(errors) else "correctly classified images (there are no errors)"
        caption = f"On the left {left}, then their nearest training images."
        return Visualization(images, columns=1 + indices.shape[1], caption=caption)
