"""Kernel distance: the squared maximum mean discrepancy between the features of samples and of test images, free of bias.

    mean_{i != j} k(s_i, s_j) + mean_{i != j} k(t_i, t_j) - 2 mean_{i, j} k(s_i, t_j),      k(a, b) = (a.b / Z + 1)^3

The distance behind KID, over all rows at once where others average subsets. It compares moments up to the third and assumes no
shape. Its standard error is that of a U-statistic, to the second order: near 0, where the first one vanishes, the second is all
there is. Source: M. Binkowski, D. J. Sutherland, M. Arbel, A. Gretton, "Demystifying MMD GANs", ICLR 2018. Traps: as it is
unbiased, it is below 0 now and then, which says that no difference is seen; the scale of the features moves it as its third
power, so values of two feature nets do not compare.
"""

import numpy as np

HIGHER_IS_BETTER = False
UNIT = "squared discrepancy"
# Rows of either side in a block: no matrix of all pairs is ever held. Its sums are in float64.
BLOCK = 1024


def kernel_distance(sample_features, test_features):
    """The distance of features (n, Z) and (N, Z), and its standard error."""
    (of_s, spread_s), (of_t, spread_t) = _within(sample_features), _within(test_features)
    s_to_t, t_to_s, spread_st = _between(sample_features, test_features)
    n, m = len(of_s), len(of_t)
    # Hoeffding: the kernel apart from what either row brings by itself is the second order.
    first_s = _variance(of_s - s_to_t, spread_s / (n - 1) + spread_st / m)
    first_t = _variance(of_t - t_to_s, spread_t / (m - 1) + spread_st / n)
    second = 2 * spread_s / (n * (n - 1)) + 2 * spread_t / (m * (m - 1)) + 4 * spread_st / (n * m)
    value = of_s.mean() + of_t.mean() - 2 * s_to_t.mean()
    return float(value), float(np.sqrt(4 * first_s / n + 4 * first_t / m + second))


def _variance(means, noise):
    """The variance of what each row brings; noise is how much the means over finitely many partners vary by themselves."""
    return max(means.var(ddof=1) - noise, 0)


def _within(features):
    """Each row's mean kernel with the others, (n,), and the variance that is no row's own."""
    n = len(features)
    sums, squares = np.zeros(n), 0.0
    for rows, columns, kernel in _kernels(features, features, triangle=True):
        if rows == columns:
            kernel.fill_diagonal_(0)
        sums[rows] += _sum(kernel, 1)
        if rows != columns:
            sums[columns] += _sum(kernel, 0)
        squares += (1 + (rows != columns)) * float(_sum(kernel.square_(), (0, 1)))
    means = sums / (n - 1)
    return means, max(squares / (n * (n - 1)) - 2 * means.var() - means.mean() ** 2, 0)


def _between(first, second):
    """Mean kernel of each row of one with all of the other, (n,) and (m,), and the variance that is no row's own."""
    n, m = len(first), len(second)
    of_first, of_second, squares = np.zeros(n), np.zeros(m), 0.0
    for rows, columns, kernel in _kernels(first, second):
        of_first[rows] += _sum(kernel, 1) / m
        of_second[columns] += _sum(kernel, 0) / n
        squares += float(_sum(kernel.square_(), (0, 1)))
    return of_first, of_second, max(squares / (n * m) - of_first.var() - of_second.var() - of_first.mean() ** 2, 0)


def _kernels(first, second, triangle=False):
    """Kernels (B, B) of block after block, in float32; none below the diagonal."""
    import torch

    first, second = (torch.as_tensor(side, dtype=torch.float32) for side in (first, second))
    for i in range(0, len(first), BLOCK):
        rows = slice(i, min(i + BLOCK, len(first)))
        scaled = first[rows] / first.shape[1]
        for j in range(i if triangle else 0, len(second), BLOCK):
            columns = slice(j, min(j + BLOCK, len(second)))
            yield rows, columns, (scaled @ second[columns].T).add_(1).pow_(3)


def _sum(kernel, dim):
    import torch

    return kernel.sum(dim, dtype=torch.float64).numpy()
