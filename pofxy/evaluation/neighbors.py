"""Nearest neighbors, and which points lie in which balls, in blocks, so that memory grows linearly with the number of points.

    |a - b|^2 = |a|^2 + |b|^2 - 2 a.b,      after subtracting the mean of the points, where float32 loses least

One matrix product gives the distances of a block in float32. Every decision that rounding could change is made again in
float64: more candidates than needed are kept for each point and their distances are recomputed from differences, and so is the
distance of each pair that is too close to the border of a ball. So copies are at distance 0, and counts are those of exact
distances.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

# Points of either side in a block: at 16 MB of distances a matrix product already runs at full speed.
BLOCK = 2048
# Candidates kept beyond k, as float32 may have swapped the last ones.
SPARE = 3
# Share of |a|^2 + |b|^2 by which a squared distance in float32 may be off: about ten times what occurs at 2,048 dimensions.
ROUNDING = 1e-5
# Numbers gathered at once to recompute distances: 8 MB.
GATHERED = 2**20


def nearest(queries: Tensor, points: Tensor, k: int, skip_self: bool = False) -> tuple[Tensor, Tensor]:
    """The k points nearest to each query, by Euclidean distance.

    Args:
        queries: (Q, D).
        points: (P, D).
        k: number of neighbors.
        skip_self: whether the queries are the points themselves, so that no point counts as its own neighbor. Copies still count.

    Returns:
        distances (Q, k) float64, nearest first, and indices (Q, k) int64 into points.

    Raises:
        ValueError: where there are fewer than k points.
    """
    queries = torch.as_tensor(queries)
    points = torch.as_tensor(points)
    others = len(points) - skip_self
    if not 1 <= k <= others:
        raise ValueError(f"{k} nearest neighbors were requested, of {others} points")
    candidates = min(k + SPARE, others)
    best = torch.full((len(queries), candidates), torch.inf)  # squared distances
    indices = torch.zeros(len(queries), candidates, dtype=torch.int64)

    def keep(rows: slice, squared: Tensor, first: int) -> None:
        """Merges the squared distances (B, B) of a block, whose first column is point `first`, into the best of its rows."""
        block_best, block_columns = squared.topk(min(candidates, squared.shape[1]), largest=False)
        merged = torch.cat([best[rows], block_best], 1)
        merged_indices = torch.cat([indices[rows], block_columns + first], 1)
        best[rows], order = merged.topk(candidates, largest=False)
        indices[rows] = merged_indices.gather(1, order)

    for rows, columns, squared in _blocks(*_centered(queries, points), triangle=skip_self):
        if skip_self and rows == columns:
            squared.fill_diagonal_(torch.inf)
        keep(rows, squared, columns.start)
        if skip_self and rows != columns:
            keep(columns, squared.T, rows.start)

    query_indices = torch.arange(len(queries)).repeat_interleave(candidates)
    exact = _distances(queries, points, query_indices, indices.flatten()).view(-1, candidates)  # (Q C,) -> (Q, C)
    distances, order = exact.topk(k, largest=False)
    return distances, indices.gather(1, order)


def balls(test: Tensor, samples: Tensor, k: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    """Which points lie in which balls: the open ball around a point that reaches to its k-th nearest neighbor of its own side.

    Args:
        test: features of test images, (N, Z).
        samples: features of samples, (n, Z).
        k: number of neighbors; fewer where a side has no more.

    Returns:
        the number of test images' balls that contain each sample, (n,) int64; the number of samples' balls that contain each test
        image, (N,) int64; whether the test image's own ball contains a sample, (N,) bool.
    """
    test = torch.as_tensor(test)
    samples = torch.as_tensor(samples)
    test_radius, sample_radius = (
        nearest(side, side, min(k, len(side) - 1), skip_self=True)[0][:, -1] for side in (test, samples)
    )
    centered_test, centered_samples = _centered(test, samples)
    test_border, test_slack = _borders(centered_test, test_radius)
    sample_border, sample_slack = _borders(centered_samples, sample_radius)
    sample_test_balls = torch.zeros(len(samples), dtype=torch.int64)
    test_sample_balls = torch.zeros(len(test), dtype=torch.int64)
    test_own_ball = torch.zeros(len(test), dtype=torch.bool)
    for rows, columns, squared in _blocks(centered_test, centered_samples):
        pair = (squared, test[rows], samples[columns])
        in_test_ball = _inside(*pair, test_radius[rows, None], test_border[rows, None], test_slack[rows, None])
        in_sample_ball = _inside(*pair, sample_radius[columns], sample_border[columns], sample_slack[columns])
        sample_test_balls[columns] += _count(in_test_ball, 0)
        test_own_ball[rows] |= _count(in_test_ball, 1) > 0
        test_sample_balls[rows] += _count(in_sample_ball, 1)
    return sample_test_balls, test_sample_balls, test_own_ball


def _centered(queries: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Both in float32, minus the mean of the points; the same tensor twice where the queries are the points."""
    mean = points.mean(0, dtype=torch.float64)
    centered = (points - mean.to(points.dtype)).float()
    return centered if queries is points else (queries - mean.to(queries.dtype)).float(), centered


def _blocks(queries: Tensor, points: Tensor, triangle: bool = False) -> Iterator[tuple[slice, slice, Tensor]]:
    """Rows, columns and squared distances (B, B) of each block, row by row; with `triangle` no blocks below the diagonal."""
    query_norms = queries.square().sum(1)  # (Q,)
    point_norms = points.square().sum(1)  # (P,)
    for i in range(0, len(queries), BLOCK):
        rows = slice(i, min(i + BLOCK, len(queries)))
        scaled = -2 * queries[rows]
        for j in range(i if triangle else 0, len(points), BLOCK):
            columns = slice(j, min(j + BLOCK, len(points)))
            squared = (scaled @ points[columns].T).add_(point_norms[columns])
            yield rows, columns, squared.add_(query_norms[rows, None])


def _inside(squared: Tensor, test: Tensor, samples: Tensor, radius: Tensor, border: Tensor, slack: Tensor) -> Tensor:
    """Whether each pair of a block is closer than the radius of the ball.

    Args:
        squared: squared distances in float32, (B, B).
        test: features of test images, (B, Z).
        samples: features of samples, (B, Z).
        radius: of each ball, (B, 1) or (B,), in float64.
        border: its square in float32, in the same shape.
        slack: how far a squared distance may be off, in the same shape.

    Returns:
        (B, B) bool.
    """
    inside = squared < border - slack
    i, j = (inside ^ (squared < border + slack)).nonzero(as_tuple=True)  # too close to the border for float32
    inside[i, j] = _distances(test, samples, i, j) < radius.expand(squared.shape)[i, j]
    return inside


def _count(inside: Tensor, dim: int) -> Tensor:
    return inside.view(torch.uint8).sum(dim, dtype=torch.int32)  # a sum of bools would first convert each to int64


def _borders(centered: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
    """The squared radius of each ball, (n,), and how far from it rounding can put a squared distance on the wrong side, (n,)."""
    # A point b near the border has |b| <= |a| + r, and so |a|^2 + |b|^2 <= 3 |a|^2 + 2 r^2. A ball of radius 0 contains no point.
    squared = radius.square()
    slack = ROUNDING * (3 * centered.square().sum(1) + 2 * squared)
    return squared.where(radius > 0, -torch.inf).float(), slack.float()


def _distances(first: Tensor, second: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """Distances (m,) in float64 between rows i (m,) of first (n, D) and rows j (m,) of second (N, D), from their differences."""
    step = max(GATHERED // first.shape[1], 1)
    parts = [first[a].double().sub_(second[b]).square_().sum(1).sqrt_() for a, b in zip(i.split(step), j.split(step))]
    return torch.cat(parts)
