"""How sure a comparison of classifiers is: tests of pairs, corrections for many of them, and ranks over many blocks.

A block is whatever all models were scored on under equal terms: a data set, a seed, a training subset.
"""

from statistics import NormalDist

import numpy as np

# An interval of 95 % reaches so many standard errors to either side, as far as errors are normal.
Z = NormalDist().inv_cdf(0.975)


def mcnemar(right_a: np.ndarray, right_b: np.ndarray) -> float:
    """Whether two classifiers are right equally often, judged by the images that only one of them gets right.

    Q. McNemar, "Note on the sampling error of the difference between correlated proportions or percentages", Psychometrika, 1947;
    here in its exact form: if both were alike, each such image would be a toss of a fair coin.

    Args:
        right_a, right_b: whether each image's label is right, (N,) bool, of the same images.

    Returns:
        The two-sided p-value; 1 where no image tells the two apart.
    """
    from scipy.special import bdtr

    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    if only_a == only_b:
        return 1.0
    return float(min(1.0, 2 * bdtr(min(only_a, only_b), only_a + only_b, 0.5)))


def holm(p: np.ndarray) -> np.ndarray:
    """p-values (n,) adjusted for being n: at a level of 5 %, the chance of even one false alarm stays below 5 %.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics, 1979.
    """
    p = np.asarray(p, dtype=float)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    # The k-th smallest counts for those that are left, and is never surer than one before it.
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return adjusted


def mean_ranks(scores: np.ndarray) -> np.ndarray:
    """The mean rank (M,) of each model over the blocks; scores (blocks, M), higher is better.

    The best of a block has rank 1; those that tie share the mean of their ranks.
    """
    from scipy.stats import rankdata

    return rankdata(-np.asarray(scores, dtype=float), axis=1).mean(0)


def friedman(scores: np.ndarray) -> float:
    """Whether the models rank alike but for chance: the p-value of Friedman's test, ties accounted for; scores (blocks, M).

    M. Friedman, "The use of ranks to avoid the assumption of normality implicit in the analysis of variance", JASA, 1937. NaN for
    fewer than three models or two blocks, for which there is no such test; 1 where every block is one tie.
    """
    from scipy.stats import friedmanchisquare

    scores = np.asarray(scores, dtype=float)
    if scores.shape[0] < 2 or scores.shape[1] < 3:
        return float("nan")
    if (scores == scores[:, :1]).all():
        return 1.0
    return float(friedmanchisquare(*scores.T).pvalue)


def critical_difference(models: int, blocks: int, alpha: float = 0.05) -> float:
    """How far two mean ranks must lie apart before chance alone is no longer a likely cause: Nemenyi's critical difference.

        CD = q_alpha sqrt(k (k + 1) / (6 N)),     k models, N blocks

    with q_alpha from the studentised range, divided by sqrt(2): J. Demšar, "Statistical comparisons of classifiers over multiple
    data sets", JMLR 7, 2006, section 3.2.2. It allows for every pair among the k being compared.
    """
    from scipy.stats import studentized_range

    q = studentized_range.ppf(1 - alpha, models, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(models * (models + 1) / (6 * blocks)))


def cliques(ranks: np.ndarray, difference: float) -> list[tuple[int, int]]:
    """The largest groups of models that are not apart.

    Args:
        ranks: mean ranks (M,), in any order.
        difference: two models are apart where their ranks differ by more than this.

    Returns:
        The first and the last member of each group, as places among the sorted ranks. No group lies inside another, and a model
        that is apart from all others is in none.
    """
    ranks = np.sort(ranks)
    last = np.searchsorted(ranks, ranks + difference, side="right") - 1
    groups, reached = [], 0
    for first, end in enumerate(last):
        if end > max(first, reached):
            groups.append((first, int(end)))
            reached = end
    return groups
