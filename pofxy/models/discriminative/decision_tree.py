"""Decision tree: questions about one pixel at a time, each chosen to tell the classes apart.

    at a node with images S:  the pixel d and threshold t that minimise  |S_<| H(S_<) + |S_>| H(S_>),
    H(S) = -sum_k p_k(S) log2 p_k(S),  p_k(S) the share of class k,  S_< the images with x_d < t
    p(y | x) = class frequencies of the leaf that x falls into

It can be read, and it is unstable: a few other training images give another tree. Grown to the end, its leaves are pure, and it
is sure of everything it says.

Reference: L. Breiman, J. H. Friedman, R. A. Olshen, C. J. Stone, "Classification and Regression Trees", 1984; grown by
scikit-learn, with the entropy of J. R. Quinlan, "Induction of decision trees", Machine Learning, 1986.
"""

import torch
from sklearn.tree import DecisionTreeClassifier as Estimator

from pofxy.base.sklearn_models import SklearnProbabilisticMixin
from pofxy.base.visualization import Visualization


class DecisionTree(SklearnProbabilisticMixin):
    """scikit-learn's, on the pixels or columns as they come.

    Args:
        max_depth: questions in a row; None for as many as it takes.
        min_samples_leaf: images in a leaf at least.
    """

    def __init__(self, max_depth: int | None = None, min_samples_leaf: int = 1):
        self.estimator = Estimator(criterion="entropy", max_depth=max_depth, min_samples_leaf=min_samples_leaf)

    def count_parameters(self) -> int:
        """Pixel and threshold of each question, frequencies of each leaf."""
        tree = self.estimator.tree_
        return 2 * (tree.node_count - tree.n_leaves) + tree.n_leaves * tree.max_n_classes

    def picture(self, x, y):
        """The importance of each pixel."""
        importance = torch.from_numpy(self.estimator.feature_importances_).view(1, *x.shape[1:])
        depth, leaves = self.estimator.get_depth(), self.estimator.get_n_leaves()
        caption = f"Bright pixels decide: what they take from the entropy, in {leaves} leaves, {depth} questions deep."
        return Visualization(importance / importance.max().clamp(min=1e-12), columns=1, caption=caption, side=160)
