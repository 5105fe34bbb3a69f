"""Memorization p-value: the probability that train images are as close to the samples if they are no different from test images.

    (1 + |{b : r_b <= r}|) / (1 + B),      r = mean_i d(s_i, train) / mean_i d(s_i, test),  r_b after a random relabeling

A permutation test of `nearest_neighbor_ratio`. If the model has not memorized, train and test images are exchangeable, so which
images of the pool are called train images does not matter. B = 999 random permutations of the pool give the distribution of the
ratio. A small p-value means that samples are closer to train images than chance allows. The interval is for the p-value of all
permutations: it shows the chance in which of them were taken.

Sources: C. Meehan, K. Chaudhuri, S. Dasgupta, "A non-parametric test to detect data-copying in generative models", AISTATS 2020
(the question), https://arxiv.org/abs/2004.05675; B. Phipson, G. K. Smyth, "Permutation p-values should never be zero",
Statistical Applications in Genetics and Molecular Biology, 2010 (the added 1), https://doi.org/10.2202/1544-6115.1585

Traps: a large value proves nothing, as blurred or shifted copies are not detected. Of many models, one in twenty falls below
.05 by chance.
"""

import numpy as np

from pofxy.evaluation.intervals import wilson
from pofxy.evaluation.metrics.nearest_neighbor_ratio import nearest_neighbor_ratio

HIGHER_IS_BETTER = True
UNIT = "probability"
LOWEST = 0.0
HIGHEST = 1.0
PERMUTATIONS = 999


def memorization_p_value(
    sample_pool_distance: np.ndarray, sample_pool_index: np.ndarray, pool_size: int
) -> tuple[float, float, float]:
    """The p-value of the one-sided test; the arguments are those of `nearest_neighbor_ratio`.

    Returns:
        The p-value, and both ends of an interval for that of all permutations, of which PERMUTATIONS random ones are taken.
    """
    rng = np.random.default_rng(0)
    observed = nearest_neighbor_ratio(sample_pool_distance, sample_pool_index, pool_size)
    as_close = 0
    for _ in range(PERMUTATIONS):
        permuted_index = rng.permutation(2 * pool_size)[sample_pool_index]
        ratio = nearest_neighbor_ratio(sample_pool_distance, permuted_index, pool_size)
        as_close += ratio <= observed * (1 + 1e-12)  # ratios that differ only by rounding are equal
    return (1 + as_close) / (1 + PERMUTATIONS), *wilson(as_close, PERMUTATIONS)
