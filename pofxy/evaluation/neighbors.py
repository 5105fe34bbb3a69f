"""Nearest neighbours, and who lies in whose ball: in blocks, so that memory grows with the number of points and not its square.

    |a - b|^2 = |a|^2 + |b|^2 - 2 a.b,      all about the mean of the points, where float32 loses least

One matrix product gives the distances of a block. What rounding could turn is looked at again: of each point more candidates
than wanted are kept and measured by their difference, in float64, and so is each pair too near to the border of a ball to tell.
Copies therefore lie at distance 0, and counts are those of exact distances.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

# Points of either side in a block: at 16 MB of distances, a product already runs at full speed.
BLOCK = 2048
# Candidates kept beyond k, as float32 may have swapped the last ones.
SPARE = 3
# Share of |a|^2 + |b|^2 by which a squared distance in float32 may be off: some ten times what is seen at 2,048 dimensions.
ROUNDING = 1e-5
# Numbers that are gathered at once to measure pairs by their difference: 8 MB.
GATHERED = 2**20


def nearest(queries: Tensor, points: Tensor, k: int, skip_self: bool = False) -> tuple[Tensor, Tensor]:
    """The k points nearest to each query, by Euclidean distance.

    Args:
        queries: (Q, D).
        points: (P, D).
        k: neighbours.
        skip_self: whether queries are the points themselves, none of which is its own neighbour; a copy of it still is.

    Returns:
        distances (Q, k) float64, nearest first, and indices (Q, k) int64 into points.

    Raises:
        ValueError: where there are fewer than k points.
    """
    queries, points = torch.as_tensor(queries), torch.as_tensor(points)
    others = len(points) - skip_self
    if not 1 <= k <= others:
        raise ValueError(f"{k} nearest neighbours were asked for, of {others} points")
    kept = min(k + SPARE, others)
    squares, found = torch.full((len(queries), kept), torch.inf), torch.zeros(len(queries), kept, dtype=torch.int64)

    def keep(rows: slice, squared: Tensor, first: int):
        values, places = squared.topk(min(kept, squared.shape[1]), largest=False)
        values, places = torch.cat([squares[rows], values], 1), torch.cat([found[rows], places + first], 1)
        squares[rows], order = values.topk(kept, largest=False)
        found[rows] = places.gather(1, order)

    for rows, columns, squared in _blocks(*_about_mean(queries, points), triangle=skip_self):
        if skip_self and rows == columns:
            squared.fill_diagonal_(torch.inf)
        keep(rows, squared, columns.start)
        if skip_self and rows != columns:
            keep(columns, squared.T, rows.start)

    query = torch.arange(len(queries)).repeat_interleave(kept)
    distances, order = _distances(queries, points, query, found.flatten()).view(-1, kept).topk(k, largest=False)
    return distances, found.gather(1, order)


def balls(test: Tensor, samples: Tensor, k: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    """Who lies in whose ball: the open one around a point that reaches to its k-th nearest neighbour of its own side.

    Args:
        test: features of test images, (N, Z).
        samples: features of samples, (n, Z).
        k: neighbours; fewer where a side has no more.

    Returns:
        in how many balls of test images each sample lies, (n,) int64; in how many balls of samples each test image lies, (N,)
        int64; whether some sample lies in the test image's own ball, (N,) bool.
    """
    test, samples = torch.as_tensor(test), torch.as_tensor(samples)
    reach = [nearest(side, side, min(k, len(side) - 1), skip_self=True)[0][:, -1] for side in (test, samples)]
    centred = _about_mean(test, samples)
    border, slack = zip(*map(_borders, centred, reach))
    sample_test_balls = torch.zeros(len(samples), dtype=torch.int64)
    test_sample_balls = torch.zeros(len(test), dtype=torch.int64)
    test_own_ball = torch.zeros(len(test), dtype=torch.bool)
    for rows, columns, squared in _blocks(*centred):
        held = []
        for radius, b, s in (
            (reach[0][rows, None], border[0][rows, None], slack[0][rows, None]),
            (reach[1][columns], border[1][columns], slack[1][columns]),
        ):
            inside = squared < b - s
            i, j = (inside ^ (squared < b + s)).nonzero(as_tuple=True)  # too near to tell
            inside[i, j] = _distances(test[rows], samples[columns], i, j) < radius.expand(squared.shape)[i, j]
            held.append(inside)
        sample_test_balls[columns] += _count(held[0], 0)
        test_own_ball[rows] |= _count(held[0], 1) > 0
        test_sample_balls[rows] += _count(held[1], 1)
    return sample_test_balls, test_sample_balls, test_own_ball


def _about_mean(queries: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    middle = points.mean(0, dtype=torch.float64)
    centred = (points - middle.to(points.dtype)).float()
    return centred if queries is points else (queries - middle.to(queries.dtype)).float(), centred


def _blocks(queries: Tensor, points: Tensor, triangle: bool = False) -> Iterator[tuple[slice, slice, Tensor]]:
    """Squared distances (B, B) of block after block, all of some queries one after the other; none below the diagonal."""
    of_queries, of_points = (side.square().sum(1) for side in (queries, points))
    for i in range(0, len(queries), BLOCK):
        rows = slice(i, min(i + BLOCK, len(queries)))
        twice = -2 * queries[rows]
        for j in range(i if triangle else 0, len(points), BLOCK):
            columns = slice(j, min(j + BLOCK, len(points)))
            squared = (twice @ points[columns].T).add_(of_points[columns])
            yield rows, columns, squared.add_(of_queries[rows, None])


def _count(inside: Tensor, dim: int) -> Tensor:
    return inside.view(torch.uint8).sum(dim, dtype=torch.int32)  # a sum of bools would first make int64 of each


def _borders(centred: Tensor, reach: Tensor) -> tuple[Tensor, Tensor]:
    """The squared radius of each ball, (n,), and how far a squared distance may be from it and yet be on the other side."""
    # Who is near to the border has |b| <= |a| + r, and so |a|^2 + |b|^2 <= 3 |a|^2 + 2 r^2. Nobody is nearer than at 0.
    squared = reach.square()
    slack = ROUNDING * (3 * centred.square().sum(1) + 2 * squared)
    return squared.where(reach > 0, -torch.inf).float(), slack.float()


def _distances(first: Tensor, second: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """Distances (m,) between rows i (m,) of one and rows j (m,) of the other, (n, D) each, by difference."""
    step = max(GATHERED // first.shape[1], 1)
    parts = [first[a].double().sub_(second[b]).square_().sum(1).sqrt_() for a, b in zip(i.split(step), j.split(step))]
    return torch.cat(parts)
