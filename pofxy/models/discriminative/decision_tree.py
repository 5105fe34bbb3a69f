"""Decision tree: a sequence of thresholds on single pixels, each chosen to separate the classes.

    at a node with images S:  the pixel d and threshold t that minimize  |S_<| H(S_<) + |S_>| H(S_>),
    H(S) = -sum_k p_k(S) log2 p_k(S),  p_k(S) the share of class k,  S_< the images with x_d < t
    p(y | x) = class frequencies of the leaf of x

A tree can be read by a person. It is unstable: a few other training images give another tree. Grown until every leaf is pure, it
gives each label the probability 1.

Reference: L. Breiman, J. H. Friedman, R. A. Olshen, C. J. Stone, "Classification and Regression Trees", Wadsworth, 1984.
https://doi.org/10.1201/9781315139470. Grown by scikit-learn with the entropy criterion of J. R. Quinlan, "Induction of decision
trees", Machine Learning 1, 1986. https://doi.org/10.1007/BF00116251
"""

import torch
from sklearn.tree import DecisionTreeClassifier as Estimator
from torch import Tensor

from pofxy.base.sklearn_models import SklearnProbabilisticMixin
from pofxy.base.visualization import Visualization


class DecisionTree(SklearnProbabilisticMixin):
    """scikit-learn's decision tree on raw pixels or columns.

    Args:
        max_depth: most splits from the root to a leaf; None for no limit.
        min_samples_leaf: fewest images in a leaf.
    """

    def __init__(self, max_depth: int | None = None, min_samples_leaf: int = 1):
        self.estimator = Estimator(criterion="entropy", max_depth=max_depth, min_samples_leaf=min_samples_leaf)

    def count_parameters(self) -> int:
        """The pixel and threshold of each split, the class frequencies of each leaf."""
        tree = self.estimator.tree_
        return 2 * (tree.node_count - tree.n_leaves) + tree.n_leaves * tree.max_n_classes

    def picture(self, x: Tensor, y: Tensor) -> Visualization:
        """The importance of each pixel."""
        importance = torch.from_numpy(self.estimator.feature_importances_).view(1, *x.shape[1:])  # (D,) -> (1, C, H, W)
        size = f"{self.estimator.get_n_leaves()} leaves, depth {self.estimator.get_depth()}"
        caption = f"Importance of each pixel: how much its splits reduce the entropy ({size})."
        return Visualization(importance / importance.max().clamp(min=1e-12), columns=1, caption=caption, side=160)
