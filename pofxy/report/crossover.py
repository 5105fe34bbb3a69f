"""Where a discriminative classifier overtakes its generative partner as training images grow in number.

    d(n) = accuracy of the generative one - accuracy of the discriminative one,  the mean over paired training subsets

The crossover is the n from which on d stays below 0 after it was above. Source: A. Y. Ng, M. I. Jordan, "On discriminative vs.
generative classifiers: a comparison of logistic regression and naive Bayes", NIPS 2001: the generative partner nears its own
error with fewer examples, but that error is the higher one.
"""

from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000


@dataclass(frozen=True, eq=False)
class Crossover:
    """Who is ahead at which size, and where that changes for good.

    Attributes:
        sizes: training images per class, ascending, (S,).
        difference: d at each size, (S,): above 0 where the generative one is ahead.
        n: the crossover, in images per class; NaN where none was found.
        low: lower end of its 95 % interval; 0 where it may lie below the smallest size.
        high: upper end; infinite where it may lie above the largest size. Both ends are NaN where one draw allows no interval.
    """

    sizes: np.ndarray
    difference: np.ndarray
    n: float
    low: float
    high: float

    @property
    def found(self) -> bool:
        """Whether the discriminative one overtakes within the sizes."""
        return bool(np.isfinite(self.n))


def crossover(generative: np.ndarray, discriminative: np.ndarray, sizes: np.ndarray, rng: np.random.Generator) -> Crossover:
    """The crossover of two learning curves.

    It is found where d is positive somewhere and negative at the largest size: between the last size with d >= 0 and the next,
    where a line through the two, over log n, meets 0. The interval resamples the draws, both models' alike; a resample in which
    the discriminative one is never behind counts as below the smallest size, one in which it is not ahead at the end as above the
    largest. The draws are few: three of them make ten different resamples, so the interval is rough, and rather too short. It
    sees the chance in the training subsets alone, not that in the test images.

    Args:
        generative, discriminative: accuracies (draws, S), paired: a draw is the same subset for both.
        sizes: training images per class, ascending and positive, (S,).
        rng: draws the resamples.

    Raises:
        ValueError: where the shapes do not fit, there is nothing to compare, or a number is missing.
    """
    generative, discriminative, sizes = (np.asarray(part, dtype=float) for part in (generative, discriminative, sizes))
    if not generative.shape == discriminative.shape == (len(generative), len(sizes)) or not generative.size:
        raise ValueError(f"accuracies {generative.shape} and {discriminative.shape} do not fit {len(sizes)} sizes")
    differences = generative - discriminative  # (draws, S)
    if not np.isfinite(differences).all():
        raise ValueError("an accuracy is missing or infinite")
    if not (sizes > 0).all() or not (np.diff(sizes) > 0).all():
        raise ValueError(f"sizes are not positive and ascending: {sizes}")
    draws = len(differences)
    mean = _mean(differences[None])  # (1, S)
    place = float(_places(mean, sizes)[0])
    low = high = np.nan
    if draws > 1:
        resamples = differences[rng.integers(draws, size=(RESAMPLES, draws))]  # (resamples, draws, S)
        places = np.sort(_places(_mean(resamples), sizes))
        tail = int(0.025 * RESAMPLES)  # so many places lie outside at either end; 0 and infinity cannot be interpolated
        low, high = places[tail], places[-1 - tail]
    return Crossover(sizes, mean[0], place if 0 < place < np.inf else np.nan, float(low), float(high))


def describe(found: Crossover, generative: str, discriminative: str) -> str:
    """The finding as a sentence without its full stop; the two models by their names."""
    pair = f"{generative} against {discriminative}"
    if found.found:
        return f"{pair}: crossover at n = {_number(found.n)} per class{_interval(found)}"
    positive, negative = found.difference > 0, found.difference < 0
    if not positive.any() and not negative.any():
        return f"{pair}: no crossover, as they do not differ at any size"
    if not positive.any() or not negative.any():
        leader = generative if positive.any() else discriminative
        return f"{pair}: no crossover, as {leader} is {'ahead at every size' if found.difference.all() else 'never behind'}"
    end = f"{generative} is ahead" if positive[-1] else "they are level"
    last = _number(found.sizes[negative][-1])
    return f"{pair}: no crossover that lasts, as {discriminative} is ahead at n = {last} but {end} at the largest size"


def _mean(differences: np.ndarray) -> np.ndarray:
    """(..., draws, S) -> (..., S). Rounded: a tie of two shares must be a tie, and not 1e-17."""
    return differences.mean(-2).round(9)


def _places(d: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The crossover of each row, (R, S) -> (R,): infinite where d does not end below 0, 0 where it does and was never above."""
    places = np.where(d[:, -1] < 0, 0.0, np.inf)
    rows = np.flatnonzero((d[:, -1] < 0) & (d > 0).any(1))
    d = d[rows]
    last = d.shape[1] - 1 - (d >= 0)[:, ::-1].argmax(1)  # the last size at which the generative one is not behind
    each = np.arange(len(rows))
    before, after = d[each, last], d[each, last + 1]
    log = np.log(sizes)
    places[rows] = np.exp(log[last] + before / (before - after) * (log[last + 1] - log[last]))
    return places


def _number(n: float) -> str:
    return f"{n:,.0f}" if n >= 10 else f"{n:.1f}".removesuffix(".0")


def _interval(found: Crossover) -> str:
    if np.isnan(found.low):
        return ""
    smallest, largest = _number(found.sizes[0]), _number(found.sizes[-1])
    low = f"below {smallest}" if found.low == 0 else _number(found.low)
    high = f"above {largest}" if np.isinf(found.high) else _number(found.high)
    return f" ({low} to {high})"
