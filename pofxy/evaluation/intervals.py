"""95 % confidence intervals of scores, over test images or samples of the same number.

SciPy has both intervals (`scipy.stats.bootstrap`, `scipy.stats.binomtest`); tests compare with them.
"""

import math
from collections.abc import Callable

import numpy as np

CONFIDENCE = 0.95
# Standard errors on either side of the mean that make a 95 % interval of a normal distribution.
Z95 = 1.96
MEAN_RESAMPLES = 1000
STATISTIC_RESAMPLES = 100


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a proportion, which also holds near 0 and 1.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the American Statistical
    Association 22, 1927. https://doi.org/10.1080/01621459.1927.10502953

    Args:
        successes: number of successes.
        n: number of trials.

    Returns:
        Both ends, within 0 and 1.
    """
    proportion = successes / n
    center = (proportion + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * math.sqrt(proportion * (1 - proportion) / n + Z95**2 / (4 * n**2))
    return max(center - half, 0.0), min(center + half, 1.0)


def of_mean(values: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the mean of values (n,), by the percentile bootstrap.

    B. Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7, 1979.
    https://doi.org/10.1214/aos/1176344552
    """
    rng = np.random.default_rng(0)
    n = len(values)
    means = np.array([values[rng.integers(n, size=n)].mean() for _ in range(MEAN_RESAMPLES)])
    return spread(means)


def spread(values: np.ndarray) -> tuple[float, float]:
    """The 2.5 % and 97.5 % quantiles of values (n,)."""
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def measure(metric: Callable, arguments: dict, rows: dict[str, str]) -> tuple[float, float, float, np.ndarray | None]:
    """A metric's value and its 95 % interval.

    Args:
        metric: returns one value per item, whose mean is the score; or (value, standard error); or a single number, which must be
            fast to compute because it is bootstrapped.
        arguments: by name. Arrays are resampled where the metric returns a single number.
        rows: of each argument, what its first axis counts: "test", "train" or "samples".

    Returns:
        value, low, high, and the values per item, (n,), or None where there are none.
    """
    result = metric(**arguments)
    if isinstance(result, tuple):
        value, error = result
        return float(value), float(value) - Z95 * error, float(value) + Z95 * error, None
    if np.ndim(result) == 1:
        result = np.asarray(result, dtype=float)
        return float(result.mean()), *of_mean(result), result
    # A resampled set has fewer distinct rows, which raises a distance: the bootstrap gives the spread, not the center.
    rng = np.random.default_rng(0)
    half = Z95 * float(np.std([metric(**_resampled(arguments, rows, rng)) for _ in range(STATISTIC_RESAMPLES)], ddof=1))
    return float(result), float(result) - half, float(result) + half, None


def _resampled(arguments: dict, rows: dict[str, str], rng: np.random.Generator) -> dict:
    """The arguments with resampled rows: samples, test and train images apart, and what belongs to one row together."""
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
