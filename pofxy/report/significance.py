"""Statistical significance of comparisons: tests of pairs, corrections for many of them, and ranks over many blocks.

A block is anything that all models were scored on under equal conditions: a data set, a seed, a training subset.
"""

from collections.abc import Sequence

import numpy as np


def mcnemar(right_a: np.ndarray, right_b: np.ndarray) -> float:
    """McNemar's exact test of whether two classifiers are equally accurate.

    It looks only at the images that exactly one of the two classifies correctly. Under the null hypothesis each of them is
    equally likely to belong to either classifier. Source: Q. McNemar, "Note on the sampling error of the difference between
    correlated proportions or percentages", Psychometrika 12, 1947.

    Args:
        right_a: whether the first classifier's label of each image is correct, (N,) bool.
        right_b: the same of the second classifier, on the same images.

    Returns:
        The two-sided p-value; 1 where no image tells the two apart.
    """
    from scipy.special import bdtr

    only_a = int((right_a & ~right_b).sum())
    only_b = int((right_b & ~right_a).sum())
    if only_a == only_b:
        return 1.0
    return float(min(1.0, 2 * bdtr(min(only_a, only_b), only_a + only_b, 0.5)))


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """p-values (n,) adjusted for n tests by Holm's method.

    At a level of 5 % the probability of one false alarm or more stays below 5 %. Source: S. Holm, "A simple sequentially
    rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.
    """
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    # The k-th smallest is multiplied by the number of tests that are left, and is never smaller than the one before it.
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return adjusted


def mean_ranks(scores: Sequence[Sequence[float]] | np.ndarray) -> np.ndarray:
    """The mean rank (M,) of each model over the blocks.

    The best of a block has rank 1. Models that tie share the mean of their ranks.

    Args:
        scores: (blocks, M), higher is better.
    """
    from scipy.stats import rankdata

    return rankdata(-np.asarray(scores, dtype=float), axis=1).mean(0)


def friedman(scores: Sequence[Sequence[float]] | np.ndarray) -> float:
    """Friedman's test of whether all models have the same expected rank, with a correction for ties.

    Source: M. Friedman, "The use of ranks to avoid the assumption of normality implicit in the analysis of variance", JASA 32,
    1937.

    Args:
        scores: (blocks, M), higher is better.

    Returns:
        The p-value. NaN for fewer than three models or two blocks, where the test does not exist; 1 where every block is one tie.
    """
    from scipy.stats import friedmanchisquare

    scores = np.asarray(scores, dtype=float)
    if scores.shape[0] < 2 or scores.shape[1] < 3:
        return float("nan")
    if (scores == scores[:, :1]).all():
        return 1.0
    return float(friedmanchisquare(*scores.T).pvalue)


def critical_difference(models: int, blocks: int, alpha: float = 0.05) -> float:
    """Nemenyi's critical difference: two models differ significantly where their mean ranks differ by more than this.

        CD = q_alpha sqrt(k (k + 1) / (6 N)),     k models, N blocks

    q_alpha is the quantile of the studentized range, divided by sqrt(2). The difference accounts for all pairs of the k models.
    Source: J. Demšar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7, 2006, section 3.2.2.
    """
    from scipy.stats import studentized_range

    q = studentized_range.ppf(1 - alpha, models, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(models * (models + 1) / (6 * blocks)))


def cliques(ranks: np.ndarray, difference: float) -> list[tuple[int, int]]:
    """The largest groups of models that do not differ significantly.

    Args:
        ranks: mean ranks (M,), in any order.
        difference: two models differ where their ranks differ by more than this.

    Returns:
        The first and the last member of each group, as indices into the sorted ranks. No group lies inside another, and a model
        that differs from all others is in none.
    """
    ranks = np.sort(ranks)
    last = np.searchsorted(ranks, ranks + difference, side="right") - 1
    groups = []
    reached = 0
    for first, end in enumerate(last):
        if end > max(first, reached):
            groups.append((first, int(end)))
            reached = end
    return groups
