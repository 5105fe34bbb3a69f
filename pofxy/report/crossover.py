"""Crossover: from how many training images on a discriminative classifier beats its generative counterpart.

    d(n) = accuracy of the generative model - accuracy of the discriminative model,     the mean over paired training subsets

The crossover is the n from which on d stays below 0 after it was above 0. The generative model approaches its asymptotic error
with fewer examples, but that error is the higher one.

Reference: A. Y. Ng, M. I. Jordan, "On discriminative vs. generative classifiers: a comparison of logistic regression and naive
Bayes", NIPS 2001.
"""

from dataclasses import dataclass

import numpy as np

# Bootstrap resamples of the training subsets.
RESAMPLES = 2000


@dataclass(frozen=True, eq=False)
class Crossover:
    """Which model is ahead at which size, and where that changes for the last time.

    Attributes:
        sizes: training images per class, ascending, (S,).
        difference: d at each size, (S,): above 0 where the generative model is ahead.
        n: the crossover, in images per class; NaN where there is none.
        low: the lower end of its 95 % interval; 0 where it may lie below the smallest size.
        high: the upper end; infinite where it may lie above the largest size. Both ends are NaN for a single draw.
    """

    sizes: np.ndarray
    difference: np.ndarray
    n: float
    low: float
    high: float

    @property
    def found(self) -> bool:
        """Whether the discriminative model overtakes within the sizes."""
        return bool(np.isfinite(self.n))


def crossover(generative: np.ndarray, discriminative: np.ndarray, sizes: np.ndarray, rng: np.random.Generator) -> Crossover:
    """The crossover of two learning curves.

    It exists where d is positive at some size and negative at the largest size. It lies between the last size with d >= 0 and the
    next one, where the line through the two, over log n, is 0. The interval is a bootstrap over the draws (training subsets), the
    same for both models. A resample in which the discriminative model is never behind counts as a crossover below the smallest
    size, one in which it is not ahead at the largest size as above it. With few draws the interval is rough and rather too short:
    three draws have only ten different resamples. It contains the randomness of the training subsets, not of the test images.

    Args:
        generative: accuracies of the generative model, (draws, S).
        discriminative: accuracies of the discriminative model on the same subsets, (draws, S).
        sizes: training images per class, ascending and positive, (S,).
        rng: chooses the resamples.

    Raises:
        ValueError: where the shapes do not match, there is nothing to compare, or a number is missing.
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
    low = np.nan
    high = np.nan
    if draws > 1:
        resamples = differences[rng.integers(draws, size=(RESAMPLES, draws))]  # (resamples, draws, S)
        places = np.sort(_places(_mean(resamples), sizes))
        # So many places lie outside at either end. There is no interpolation, as places may be 0 or infinite.
        tail = int(0.025 * RESAMPLES)
        low = places[tail]
        high = places[-1 - tail]
    return Crossover(sizes, mean[0], place if 0 < place < np.inf else np.nan, float(low), float(high))


def describe(found: Crossover, generative: str, discriminative: str) -> str:
    """The result as a sentence without its full stop.

    Args:
        found: the crossover of the two models.
        generative: name of the generative model.
        discriminative: name of the discriminative model.
    """
    pair = f"{generative} against {discriminative}"
    if found.found:
        return f"{pair}: crossover at n = {_number(found.n)} per class{_interval(found)}"
    positive = found.difference > 0
    negative = found.difference < 0
    if not positive.any() and not negative.any():
        return f"{pair}: no crossover, as they do not differ at any size"
    if not positive.any() or not negative.any():
        leader = generative if positive.any() else discriminative
        return f"{pair}: no crossover, as {leader} is {'ahead at every size' if found.difference.all() else 'never behind'}"
    end = f"{generative} is ahead" if positive[-1] else "they are equal"
    last = _number(found.sizes[negative][-1])
    return f"{pair}: no lasting crossover, as {discriminative} is ahead at n = {last} but {end} at the largest size"


def _mean(differences: np.ndarray) -> np.ndarray:
    """(..., draws, S) -> (..., S), rounded, so that two equal accuracies do not differ by 1e-17."""
    return differences.mean(-2).round(9)


def _places(d: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The crossover of each row, (R, S) -> (R,): infinite where d does not end below 0, 0 where it does and was never above 0."""
    places = np.where(d[:, -1] < 0, 0.0, np.inf)
    rows = np.flatnonzero((d[:, -1] < 0) & (d > 0).any(1))
    d = d[rows]
    # The last size at which the generative model is not behind.
    last = d.shape[1] - 1 - (d >= 0)[:, ::-1].argmax(1)
    each = np.arange(len(rows))
    before = d[each, last]
    after = d[each, last + 1]
    log = np.log(sizes)
    places[rows] = np.exp(log[last] + before / (before - after) * (log[last + 1] - log[last]))
    return places


def _number(n: float) -> str:
    return f"{n:,.0f}" if n >= 10 else f"{n:.1f}".removesuffix(".0")


def _interval(found: Crossover) -> str:
    if np.isnan(found.low):
        return ""
    low = f"below {_number(found.sizes[0])}" if found.low == 0 else _number(found.low)
    high = f"above {_number(found.sizes[-1])}" if np.isinf(found.high) else _number(found.high)
    return f" ({low} to {high})"
