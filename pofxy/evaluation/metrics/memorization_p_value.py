"""Memorisation p-value: how likely train images would be as close to the samples by chance, were they as new as test images.

    (1 + |{b : r_b <= r}|) / (1 + B),      r = mean_i d(s_i, train) / mean_i d(s_i, test),  r_b with the images' sides dealt anew

A permutation test: to a model that has not memorized, train and test images are alike, so it is all one which are called train;
999 deals of the pool give the law of the ratio. A small value says that samples keep closer to train images than chance allows.
Sources: C. Meehan, K. Chaudhuri, S. Dasgupta, "A non-parametric test to detect data-copying in generative models", AISTATS 2020
(the question); B. Phipson, G. K. Smyth, "Permutation p-values should never be zero", Statistical Applications in Genetics and
Molecular Biology, 2010 (the 1 that is added). Traps: a large value proves nothing: copies that are blurred or moved escape; of
many models, one in twenty falls below .05 by chance.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "probability"
LOWEST = 0.0
HIGHEST = 1.0
PERMUTATIONS = 999


def memorization_p_value(sample_pool_distance, sample_pool_index, pool_size):
    """The p-value of the one-sided test; and 0, as it is no estimate of anything.

    Args:
        sample_pool_distance: of each sample to its nearest images of the pool, nearest first, (n, M).
        sample_pool_index: which these are, (n, M): train images below pool_size, test images from there on.
        pool_size: images of either side in the pool.
    """
    rng = np.random.default_rng(0)
    train = np.arange(2 * pool_size) < pool_size
    seen = _ratio(sample_pool_distance, train[sample_pool_index])
    dealt = (_ratio(sample_pool_distance, rng.permutation(train)[sample_pool_index]) for _ in range(PERMUTATIONS))
    # Deals that differ in rounding alone are as close.
    as_close = sum(bool(ratio <= seen * (1 + 1e-12)) for ratio in dealt)
    return (1 + as_close) / (1 + PERMUTATIONS), 0.0


def _ratio(distance, train):
    """The mean distance to the nearest train image over that to the nearest test image; where a side lacks, the last distance."""
    last = distance.shape[1] - 1
    near = (np.where(side.any(1), side.argmax(1), last) for side in (train, ~train))
    near_train, near_test = (distance[np.arange(len(distance)), place].mean() for place in near)
    return near_train / max(near_test, 1e-12)
