"""Random forest: the mean of many trees, each grown on a bootstrap sample with random pixels to choose from at every split.

    p(y | x) = 1/B sum_b p_b(y | x),      tree b grown on a bootstrap sample, each split chosen among sqrt(D) random pixels

Deep trees have low bias and high variance. Averaging trees that are made to differ reduces the variance.

Reference: L. Breiman, "Random forests", Machine Learning 45, 2001. https://doi.org/10.1023/A:1010933404324. Grown by
scikit-learn.
"""

import torch
from sklearn.ensemble import RandomForestClassifier as Estimator
from torch import Tensor

from pofxy.base.sklearn_models import SklearnProbabilisticMixin
from pofxy.base.visualization import Visualization


class RandomForest(SklearnProbabilisticMixin):
    """scikit-learn's random forest on raw pixels or columns.

    Args:
        n_estimators: number of trees B.
        min_samples_leaf: fewest images in a leaf.
    """

    def __init__(self, n_estimators: int = 100, min_samples_leaf: int = 1):
        self.estimator = Estimator(n_estimators=n_estimators, min_samples_leaf=min_samples_leaf)

    def count_parameters(self) -> int:
        """The pixel and threshold of each split, the class frequencies of each leaf."""
        trees = [one.tree_ for one in self.estimator.estimators_]
        return sum(2 * (tree.node_count - tree.n_leaves) + tree.n_leaves * tree.max_n_classes for tree in trees)

    def picture(self, x: Tensor, y: Tensor) -> Visualization:
        """The importance of each pixel, the mean over the trees."""
        importance = torch.from_numpy(self.estimator.feature_importances_).view(1, *x.shape[1:])  # (D,) -> (1, C, H, W)
        size = f"mean of {len(self.estimator.estimators_)} trees"
        caption = f"Importance of each pixel: how much its splits reduce the Gini impurity ({size})."
        return Visualization(importance / importance.max().clamp(min=1e-12), columns=1, caption=caption, side=160)
