"""Authenticity: the share of samples that are not near copies of a train image.

    1/n sum_i [d(s_i, x_i) > d(x_i, its nearest other train image)],      x_i the train image nearest to s_i, in pixels

A sample counts as a copy of a train image if it is closer to that image than every other train image is.

Source: A. Alaa, B. van Breugel, E. Saveliev, M. van der Schaar, "How faithful is your synthetic data? Sample-level metrics for
evaluating and auditing generative models", ICML 2022. https://arxiv.org/abs/2102.08921

Traps: new images from the true distribution reach only about 1/3 (in one dimension) to 1/2 (in many dimensions), so read it
beside `real_train`. Noise is far from every image and reaches the full score.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "share"
LOWEST = 0.0
HIGHEST = 1.0


def authenticity(sample_nearest_train: np.ndarray, sample_nearest_train_own: np.ndarray) -> np.ndarray:
    """Whether each sample is no near copy.

    Args:
        sample_nearest_train: distance from each sample to its nearest train image, (n,).
        sample_nearest_train_own: distance from that train image to its own nearest other train image, (n,).

    Returns:
        1.0 for each sample that is no near copy, else 0.0, (n,).
    """
    return (sample_nearest_train > sample_nearest_train_own).astype(float)
