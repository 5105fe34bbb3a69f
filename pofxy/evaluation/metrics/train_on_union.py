"""Train on union: the accuracy on test images of a classifier that was trained on train images and samples together.

    1/N sum_n [c(x_n) = y_n],      c trained on train images and samples together

It shows whether samples are useful as additional training data. Compare it with what the same classifier reaches without them.

Source: S. Ravuri, O. Vinyals, "Classification accuracy score for conditional generative models", NeurIPS 2019 (naive
augmentation score). https://arxiv.org/abs/1905.10887

Traps: where there are many train images it hardly changes. Poor samples can lower it, and copies only repeat the train images.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "accuracy"
LOWEST = 0.0
HIGHEST = 1.0


def train_on_union(union_predict: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether each predicted label is right.

    Args:
        union_predict: labels predicted by the classifier trained on train images and samples, (N,).
        y: true labels, (N,).

    Returns:
        1.0 where the two agree, else 0.0, (N,).
    """
    return (union_predict == y).astype(float)
