"""Train on synthetic: the accuracy on test images of a classifier that was trained on samples alone.

    1/N sum_n [c(x_n) = y_n],      c trained on samples s_i with the labels y_i that they were requested for

Also known as the classification accuracy score, or GAN-train. The classifier's architecture and number of steps are fixed, so
its accuracy measures the model of p(x, y): fidelity and diversity at once.

Sources: S. Ravuri, O. Vinyals, "Classification accuracy score for conditional generative models", NeurIPS 2019,
https://arxiv.org/abs/1905.10887; K. Shmelkov, C. Schmid, K. Alahari, "How good is my GAN?", ECCV 2018 (GAN-train),
https://arxiv.org/abs/1807.09499

Traps: it grows with the number of samples, so its upper limit is `real_train`, as many train images. Copies of the train images
reach that limit.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "accuracy"
LOWEST = 0.0
HIGHEST = 1.0


def train_on_synthetic(synthetic_predict: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether each predicted label is right.

    Args:
        synthetic_predict: labels predicted by the classifier trained on samples, (N,).
        y: true labels, (N,).

    Returns:
        1.0 where the two agree, else 0.0, (N,).
    """
    return (synthetic_predict == y).astype(float)
