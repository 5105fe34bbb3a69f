"""Kernel distance: the unbiased squared maximum mean discrepancy between the features of samples and of test images.

    mean_{i != j} k(s_i, s_j) + mean_{i != j} k(t_i, t_j) - 2 mean_{i, j} k(s_i, t_j),      k(a, b) = (a.b / Z + 1)^3

The maximum mean discrepancy (MMD) that the kernel Inception distance (KID) uses, over all rows at once, where other programs
average over subsets. It compares moments up to the third and assumes no shape. Its standard error is that of a U-statistic to
second order: near 0 the first-order term vanishes, and only the second-order term is left.

Source: M. Binkowski, D. J. Sutherland, M. Arbel, A. Gretton, "Demystifying MMD GANs", ICLR 2018.
https://arxiv.org/abs/1801.01401

Traps: as it is unbiased, it is sometimes below 0, which means that no difference was detected. It depends on the scale of the
features, up to its sixth power, so values of two feature nets are not comparable.
"""

from collections.abc import Iterator

import numpy as np

HIGHER_IS_BETTER = False
UNIT = "squared discrepancy"
# Rows of either side in a block, so that no matrix of all pairs is ever held. Sums are in float64.
BLOCK = 1024


def kernel_distance(sample_features: np.ndarray, test_features: np.ndarray) -> tuple[float, float]:
    """The squared maximum mean discrepancy.

    Args:
        sample_features: features of samples, (n, Z).
        test_features: features of test images, (N, Z).

    Returns:
        The distance and its standard error.
    """
    within_s, residual_s = _within(sample_features)
    within_t, residual_t = _within(test_features)
    s_to_t, t_to_s, residual_st = _between(sample_features, test_features)
    n = len(within_s)
    m = len(within_t)
    # Hoeffding's decomposition: the kernel minus the contribution of each of its two rows is the second order.
    first_s = _variance(within_s - s_to_t, residual_s / (n - 1) + residual_st / m)
    first_t = _variance(within_t - t_to_s, residual_t / (m - 1) + residual_st / n)
    second = 2 * residual_s / (n * (n - 1)) + 2 * residual_t / (m * (m - 1)) + 4 * residual_st / (n * m)
    value = within_s.mean() + within_t.mean() - 2 * s_to_t.mean()
    return float(value), float(np.sqrt(4 * first_s / n + 4 * first_t / m + second))


def _variance(means: np.ndarray, noise: float) -> float:
    """Variance of the rows' contributions, without the noise of means over finitely many partners."""
    return max(means.var(ddof=1) - noise, 0)


def _within(features: np.ndarray) -> tuple[np.ndarray, float]:
    """Mean kernel of each row with the other rows, (n,), and the variance that belongs to pairs and not to single rows."""
    n = len(features)
    sums = np.zeros(n)
    squares = 0.0
    for rows, columns, kernel in _kernels(features, features, triangle=True):
        if rows == columns:
            kernel.fill_diagonal_(0)
        sums[rows] += _sum(kernel, 1)
        if rows != columns:
            sums[columns] += _sum(kernel, 0)
        squares += (1 + (rows != columns)) * float(_sum(kernel.square_(), (0, 1)))
    means = sums / (n - 1)
    return means, max(squares / (n * (n - 1)) - 2 * means.var() - means.mean() ** 2, 0)


def _between(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean kernel of each row of one side with all of the other, (n,) and (m,), and the variance that belongs to pairs."""
    n = len(first)
    m = len(second)
    of_first = np.zeros(n)
    of_second = np.zeros(m)
    squares = 0.0
    for rows, columns, kernel in _kernels(first, second):
        of_first[rows] += _sum(kernel, 1) / m
        of_second[columns] += _sum(kernel, 0) / n
        squares += float(_sum(kernel.square_(), (0, 1)))
    return of_first, of_second, max(squares / (n * m) - of_first.var() - of_second.var() - of_first.mean() ** 2, 0)


def _kernels(first: np.ndarray, second: np.ndarray, triangle: bool = False) -> Iterator[tuple]:
    """Rows, columns and the kernel (B, B) in float32 of block after block; with `triangle` no blocks below the diagonal."""
    import torch

    a = torch.as_tensor(first, dtype=torch.float32)
    b = torch.as_tensor(second, dtype=torch.float32)
    for i in range(0, len(a), BLOCK):
        rows = slice(i, min(i + BLOCK, len(a)))
        scaled = a[rows] / a.shape[1]
        for j in range(i if triangle else 0, len(b), BLOCK):
            columns = slice(j, min(j + BLOCK, len(b)))
            yield rows, columns, (scaled @ b[columns].T).add_(1).pow_(3)


def _sum(kernel, dim: int | tuple[int, int]) -> np.ndarray:
    import torch

    return kernel.sum(dim, dtype=torch.float64).numpy()
