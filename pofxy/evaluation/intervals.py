"""How sure a score is: its 95 % interval over test images or samples of the same number."""

import math

import numpy as np

CONFIDENCE = 0.95
BOOTSTRAP_OF_MEANS = 1000
BOOTSTRAP_OF_STATISTICS = 100


def wilson(right: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share, E. B. Wilson, JASA 1927: it holds near 0 and 1, too."""
    share, z = right / n, 1.96
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def of_mean(values: np.ndarray) -> tuple[float, float]:
    """The interval of the mean of values (n,), by the bootstrap (B. Efron, Annals of Statistics 1979)."""
    rng, n = np.random.default_rng(0), len(values)
    means = np.array([values[rng.integers(n, size=n)].mean() for _ in range(BOOTSTRAP_OF_MEANS)])
    return spread(means)


def spread(values: np.ndarray) -> tuple[float, float]:
    """Between which two the middle 95 % of the values lie."""
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def measure(metric, arguments: dict, rows: dict[str, str]) -> tuple[float, float, float, np.ndarray | None]:
    """A metric's value and its interval.

    Args:
        metric: gives one value per item, whose mean is the score; or (value, standard error); or a number, quickly.
        arguments: by name; arrays are resampled where a number is all that the metric gives.
        rows: of each argument, what its first axis counts: "test", "train" or "samples".

    Returns:
        value, low, high, and the values per item, None where there are none.
    """
    found = metric(**arguments)
    if isinstance(found, tuple):
        value, error = found
        return float(value), float(value) - 1.96 * error, float(value) + 1.96 * error, None
    if np.ndim(found) == 1:
        found = np.asarray(found, dtype=float)
        return float(found.mean()), *of_mean(found), found
    # A resampled set has fewer distinct rows, which moves a distance up: the bootstrap gives the spread, not the centre.
    rng = np.random.default_rng(0)
    half = 1.96 * float(np.std([metric(**_resampled(arguments, rows, rng)) for _ in range(BOOTSTRAP_OF_STATISTICS)], ddof=1))
    return float(found), float(found) - half, float(found) + half, None


def _resampled(arguments: dict, rows: dict[str, str], rng: np.random.Generator) -> dict:
    """The arguments with rows resampled: samples, test and train images apart, and what belongs to one row together."""
    chosen: dict[tuple, np.ndarray] = {}
    resampled = {}
    for name, argument in arguments.items():
        if isinstance(argument, np.ndarray):
            key = (rows[name], len(argument))
            if key not in chosen:
                chosen[key] = rng.integers(len(argument), size=len(argument))
            argument = argument[chosen[key]]
        resampled[name] = argument
    return resampled
