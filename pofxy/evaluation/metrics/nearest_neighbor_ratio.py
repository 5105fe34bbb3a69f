"""Nearest-neighbor ratio: the distance of samples to train images, relative to their distance to unseen test images.

    mean_i d(s_i, train) / mean_i d(s_i, test),      d the distance in pixels to the nearest of as many images of either side

At 1, samples are no closer to the images that the model was trained on. Well below 1, the model repeats its train images.

Source: C. Meehan, K. Chaudhuri, S. Dasgupta, "A non-parametric test to detect data-copying in generative models", AISTATS 2020,
where the same distances are compared by ranks. https://arxiv.org/abs/2004.05675

Traps: beyond 1, more is not better but chance. A copy that is shifted by one pixel is far away. Poor samples are equally far
from both sides, so read it beside the distances of fidelity.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "ratio of distances"
LOWEST = 0.0


def nearest_neighbor_ratio(sample_pool_distance: np.ndarray, sample_pool_index: np.ndarray, pool_size: int) -> float:
    """The ratio of mean distances.

    Args:
        sample_pool_distance: distance from each sample to its M nearest images of the pool, nearest first, (n, M).
        sample_pool_index: which images these are, (n, M): train images below pool_size, test images from there on.
        pool_size: number of train images in the pool, and of test images.

    Returns:
        The ratio, at least 0.
    """
    is_train = sample_pool_index < pool_size
    near_train = _nearest(sample_pool_distance, is_train).mean()
    near_test = _nearest(sample_pool_distance, ~is_train).mean()
    return float(near_train / max(near_test, 1e-12))


def _nearest(distance: np.ndarray, is_side: np.ndarray) -> np.ndarray:
    """Distance to the nearest image of one side, (n,); where none of the M is of that side, the last distance, a lower bound."""
    place = np.where(is_side.any(1), is_side.argmax(1), distance.shape[1] - 1)
    return np.take_along_axis(distance, place[:, None], 1)[:, 0]
