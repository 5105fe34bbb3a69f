"""Gradient boosting: a sum of small trees, each fitted to the errors of the sum before it.

    s_k(x) = sum_m r h_mk(x),     p(y = k | x) = exp(s_k) / sum_j exp(s_j),
    h_mk fitted to the gradient  [y_n = k] - p(k | x_n)  of the log-likelihood after m - 1 rounds,     r the learning rate

Each round reduces the bias, where a random forest reduces the variance. Small trees, a small learning rate and a random choice
of pixels at each split prevent overfitting to noise.

Reference: J. H. Friedman, "Greedy function approximation: a gradient boosting machine", Annals of Statistics 29(5), 2001.
https://doi.org/10.1214/aos/1013203451. Fitted by scikit-learn on pixels sorted into 255 bins, as in G. Ke et al., "LightGBM: a
highly efficient gradient boosting decision tree", NIPS 2017.
https://proceedings.neurips.cc/paper/2017/hash/6449f44a102fde848669bdd9eb6b76fa-Abstract.html
"""

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier as Estimator
from torch import Tensor

from pofxy.base.sklearn_models import SklearnProbabilisticMixin
from pofxy.base.visualization import Visualization


class GradientBoosting(SklearnProbabilisticMixin):
    """scikit-learn's histogram-based gradient boosting on raw pixels or columns.

    Args:
        max_iter: number of rounds, with one tree per class each (one tree where there are two classes).
        learning_rate: r, the factor of each tree.
        max_leaf_nodes: most leaves of a tree.
        min_samples_leaf: fewest images in a leaf.
        max_features: share of the pixels, chosen at random, among which each split is chosen.
    """

    def __init__(
        self,
        max_iter: int = 100,
        learning_rate: float = 0.1,
        max_leaf_nodes: int = 8,
        min_samples_leaf: int = 5,
        max_features: float = 0.125,
    ):
        self.estimator = Estimator(
            max_iter=max_iter,
            learning_rate=learning_rate,
            max_leaf_nodes=max_leaf_nodes,
            min_samples_leaf=min_samples_leaf,
            max_features=max_features,
            # It may also be a bool, which the type inferred from its default "auto" does not allow.
            early_stopping=False,  # pyright: ignore[reportArgumentType]
        )

    def count_parameters(self) -> int:
        """The pixel and threshold of each split, the value of each leaf."""
        return sum(int(np.where(nodes["is_leaf"], 1, 2).sum()) for nodes in self._trees())

    def picture(self, x: Tensor, y: Tensor) -> Visualization:
        """The importance of each pixel: how much its splits reduced the loss."""
        gain = np.zeros(x[0].numel())
        for nodes in self._trees():
            splits = nodes[nodes["is_leaf"] == 0]
            np.add.at(gain, splits["feature_idx"], splits["gain"])
        importance = torch.from_numpy(gain).view(1, *x.shape[1:])  # (D,) -> (1, C, H, W)
        size = f"{len(self.estimator._predictors)} rounds"
        caption = f"Importance of each pixel: how much its splits reduce the loss ({size})."
        return Visualization(importance / importance.max().clamp(min=1e-12), columns=1, caption=caption, side=160)

    def _trees(self) -> list[np.ndarray]:
        """The nodes of each tree, a structured array."""
        return [tree.nodes for trees_of_round in self.estimator._predictors for tree in trees_of_round]
