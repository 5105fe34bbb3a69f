"""Gradient boosting: small trees in a row, each fitted to what those before it still get wrong.

    s_k(x) = sum_m r h_mk(x),     p(y = k | x) = exp(s_k) / sum_j exp(s_j),
    h_mk fitted to the gradient  [y_n = k] - p(k | x_n)  of the log-likelihood after m - 1 rounds,     r the learning rate

Each round lowers the bias, where a forest lowers the variance; small trees, a small rate and a random choice of pixels at each
question keep it from learning the noise.

Reference: J. H. Friedman, "Greedy function approximation: a gradient boosting machine", Annals of Statistics, 2001; by
scikit-learn, on pixels sorted into 255 bins (G. Ke et al., "LightGBM", NIPS 2017).
"""

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier as Estimator

from pofxy.base.sklearn_models import SklearnProbabilisticMixin
from pofxy.base.visualization import Visualization


class GradientBoosting(SklearnProbabilisticMixin):
    """scikit-learn's, on the pixels or columns as they come.

    Args:
        max_iter: m, of one tree for each class.
        learning_rate: r.
        max_leaf_nodes: of each tree at most.
        min_samples_leaf: images in a leaf at least.
        max_features: share of the pixels that each question is chosen among.
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
            early_stopping=False,
        )

    def count_parameters(self) -> int:
        """Pixel and threshold of each question, the value of each leaf."""
        return sum(int(np.where(nodes["is_leaf"], 1, 2).sum()) for nodes in self._trees())

    def picture(self, x, y):
        """The importance of each pixel: how much its questions lowered the loss."""
        gain = np.zeros(x[0].numel())
        for nodes in self._trees():
            questions = nodes[nodes["is_leaf"] == 0]
            np.add.at(gain, questions["feature_idx"], questions["gain"])
        importance = torch.from_numpy(gain).view(1, *x.shape[1:])  # (D,) -> (1, C, H, W)
        caption = f"Bright pixels decide: how far their questions lowered the loss, in {len(self.estimator._predictors)} rounds."
        return Visualization(importance / importance.max().clamp(min=1e-12), columns=1, caption=caption, side=160)

    def _trees(self):
        """The nodes of each tree, a structured array."""
        return [tree.nodes for of_round in self.estimator._predictors for tree in of_round]
