"""Nearest-neighbour ratio: how far samples are from train images, against test images that the model never saw.

    mean_i d(s_i, train) / mean_i d(s_i, test),      d the distance in pixels to the nearest of as many images of either side

1: no closer to what it was trained on. Well below 1, the model repeats its train images. Source: C. Meehan, K. Chaudhuri, S.
Dasgupta, "A non-parametric test to detect data-copying in generative models", AISTATS 2020, who compare the same distances by
ranks. Traps: more is not better beyond 1, it is chance; a copy that is moved by a pixel lies far away; bad samples are as far
from one side as from the other, so read it beside the distances of fidelity.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "ratio of distances"
LOWEST = 0.0


def nearest_neighbor_ratio(sample_pool_distance, sample_pool_index, pool_size):
    """The ratio.

    Args:
        sample_pool_distance: of each sample to its nearest images of the pool, nearest first, (n, M).
        sample_pool_index: which these are, (n, M): train images below pool_size, test images from there on.
        pool_size: images of either side in the pool.
    """
    train = sample_pool_index < pool_size
    near_train, near_test = (_nearest(sample_pool_distance, side).mean() for side in (train, ~train))
    return float(near_train / max(near_test, 1e-12))


def _nearest(distance, side):
    """The distance to the nearest image of a side, (n,); where none of it is among the M, it is at least the last distance."""
    place = np.where(side.any(1), side.argmax(1), distance.shape[1] - 1)
    return np.take_along_axis(distance, place[:, None], 1)[:, 0]
