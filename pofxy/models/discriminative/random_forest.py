"""Random forest: many trees, each grown on other images with other pixels to choose from, and their mean.

    p(y | x) = 1/B sum_b p_b(y | x),      tree b grown on a bootstrap sample, each question chosen among sqrt(D) random pixels

Deep trees err little on average and vary much; averaging trees that are made to differ takes the variance away.

Reference: L. Breiman, "Random forests", Machine Learning, 2001; grown by scikit-learn.
"""

import torch
from sklearn.ensemble import RandomForestClassifier as Estimator

from pofxy.base.sklearn_models import SklearnProbabilisticMixin
from pofxy.base.visualization import Visualization


class RandomForest(SklearnProbabilisticMixin):
    """scikit-learn's, on the pixels or columns as they come.

    Args:
        n_estimators: B.
        min_samples_leaf: images in a leaf at least.
    """

    def __init__(self, n_estimators: int = 100, min_samples_leaf: int = 1):
        self.estimator = Estimator(n_estimators=n_estimators, min_samples_leaf=min_samples_leaf)

    def count_parameters(self) -> int:
        """Pixel and threshold of each question, frequencies of each leaf."""
        trees = [one.tree_ for one in self.estimator.estimators_]
        return sum(2 * (tree.node_count - tree.n_leaves) + tree.n_leaves * tree.max_n_classes for tree in trees)

    def picture(self, x, y):
        """The importance of each pixel, the mean over the trees."""
        importance = torch.from_numpy(self.estimator.feature_importances_).view(1, *x.shape[1:])
        caption = f"Bright pixels decide: what they take from the impurity, the mean of {len(self.estimator.estimators_)} trees."
        return Visualization(importance / importance.max().clamp(min=1e-12), columns=1, caption=caption, side=160)
