"""Kernel distance: the unbiased squared maximum mean discrepancy between the features of samples and of test images.

    mean_{i != j} k(s_i, s_j) + mean_{i != j} k(t_i, t_j) - 2 mean_{i, j} k(s_i, t_j),      k(a, b) = (a.b / Z + 1)^3

The maximum mean discrepancy (MMD) that the kernel Inception distance (KID) uses, over all rows at once, where other programs
average over subsets. It compares moments up to the third and assumes no shape. Its standard error is that of a U-statistic to
second order: near 0 the first-order term vanishes, and only the second-order term is left.

Features far from 0 have huge kernels whose differences single precision loses. What the kernel has of one row alone cancels in
the distance, so it is left out from the start, by the mean m of all rows:

    k'(a, b) = k(a, b) - k(a, m) - k(m, b) + k(m, m) = c^3 (3 u v (w + 1) + g (3 w^2 + 3 w g + g^2)),      w = 1 + u + v
    c = m.m / Z + 1,      u = m.(a - m) / Z c,      v = m.(b - m) / Z c,      g = (a - m).(b - m) / Z c

Source: M. Binkowski, D. J. Sutherland, M. Arbel, A. Gretton, "Demystifying MMD GANs", ICLR 2018.
https://arxiv.org/abs/1801.01401

Traps: as it is unbiased, it is sometimes below 0, which means that no difference was detected. It depends on the scale of the
features, up to its sixth power, so values of two feature nets are not comparable.
"""

from collections.abc import Iterator

import numpy as np

HIGHER_IS_BETTER = False
UNIT = "squared discrepancy"
FEWEST_ROWS = 2
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
    samples, test, scale = _centered(sample_features, test_features)
    within_s, residual_s = _within(samples)
    within_t, residual_t = _within(test)
    s_to_t, t_to_s, residual_st = _between(samples, test)
    n = len(within_s)
    m = len(within_t)
    # Hoeffding's decomposition: the kernel minus the contribution of each of its two rows is the second order.
    first_s = _variance(within_s - s_to_t, residual_s / (n - 1) + residual_st / m)
    first_t = _variance(within_t - t_to_s, residual_t / (m - 1) + residual_st / n)
    second = 2 * residual_s / (n * (n - 1)) + 2 * residual_t / (m * (m - 1)) + 4 * residual_st / (n * m)
    value = within_s.mean() + within_t.mean() - 2 * s_to_t.mean()
    return float(scale * value), float(scale * np.sqrt(4 * first_s / n + 4 * first_t / m + second))


def _centered(first: np.ndarray, second: np.ndarray) -> tuple[tuple, tuple, float]:
    """What the kernel is computed from.

    Returns:
        Of either side the rows minus the mean of all, divided by the root of Z c, (n, Z) float32, and u, (n,) float32; and c^3.
    """
    rows = len(first) + len(second)
    mean = (first.sum(0, dtype=float) + second.sum(0, dtype=float)) / rows  # (Z,)
    size = len(mean)
    c = mean @ mean / size + 1
    sides = []
    for features in (first, second):
        centered = features - mean  # (n, Z) float64
        sides.append(((centered / np.sqrt(size * c)).astype(np.float32), (centered @ mean / (size * c)).astype(np.float32)))
    return sides[0], sides[1], float(c**3)


def _variance(means: np.ndarray, noise: float) -> float:
    """Variance of the rows' contributions, without the noise of means over finitely many partners."""
    return max(means.var(ddof=1) - noise, 0)


def _within(side: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, float]:
    """Mean kernel of each row with the other rows, (n,), and the variance that belongs to pairs and not to single rows."""
    n = len(side[0])
    sums = np.zeros(n)
    squares = 0.0
    for rows, columns, kernel in _kernels(side, side, triangle=True):
        if rows == columns:
            kernel.fill_diagonal_(0)
        sums[rows] += _sum(kernel, 1)
        if rows != columns:
            sums[columns] += _sum(kernel, 0)
        squares += (1 + (rows != columns)) * float(_sum(kernel.square_(), (0, 1)))
    means = sums / (n - 1)
    return means, max(squares / (n * (n - 1)) - 2 * means.var() - means.mean() ** 2, 0)


def _between(first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean kernel of each row of one side with all of the other, (n,) and (m,), and the variance that belongs to pairs."""
    n = len(first[0])
    m = len(second[0])
    of_first = np.zeros(n)
    of_second = np.zeros(m)
    squares = 0.0
    for rows, columns, kernel in _kernels(first, second):
        of_first[rows] += _sum(kernel, 1) / m
        of_second[columns] += _sum(kernel, 0) / n
        squares += float(_sum(kernel.square_(), (0, 1)))
    return of_first, of_second, max(squares / (n * m) - of_first.var() - of_second.var() - of_first.mean() ** 2, 0)


def _kernels(
    first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray], triangle: bool = False
) -> Iterator[tuple]:
    """Rows, columns and k' / c^3 (B, B) in float32 of block after block; with `triangle` no blocks below the diagonal."""
    import torch

    a, u = map(torch.from_numpy, first)
    b, v = map(torch.from_numpy, second)
    for i in range(0, len(a), BLOCK):
        rows = slice(i, min(i + BLOCK, len(a)))
        for j in range(i if triangle else 0, len(b), BLOCK):
            columns = slice(j, min(j + BLOCK, len(b)))
            g = a[rows] @ b[columns].T
            w = 1 + u[rows, None] + v[columns]
            kernel = (3 * w).mul_(w + g).addcmul_(g, g).mul_(g)  # g (3 w^2 + 3 w g + g^2)
            yield rows, columns, kernel.addcmul_(3 * u[rows, None] * v[columns], w.add_(1))


def _sum(kernel, dim: int | tuple[int, int]) -> np.ndarray:
    import torch

    return kernel.sum(dim, dtype=torch.float64).numpy()
