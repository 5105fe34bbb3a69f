"""The crossover of hand-made learning curves, whose answer is known."""

import numpy as np
import pytest

from pofxy.report.crossover import crossover, describe

SIZES = np.array([1.0, 10.0, 100.0])


def cross(differences, sizes=SIZES, base=0.5):
    """The crossover of a pair whose accuracies differ by `differences`, (S,) or (draws, S)."""
    differences = np.atleast_2d(np.asarray(differences, dtype=float))
    return crossover(base + differences, np.full(differences.shape, base), sizes, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("differences", "n"),
    [
        ([0.2, 0.1, -0.1], 10 * 10**0.5),  # halfway between 10 and 100, on a logarithmic axis
        ([0.2, -0.1, -0.2], 10 ** (2 / 3)),
        ([0.2, 0.0, -0.1], 10),  # equal at 10, behind from there on
        ([0.1, -0.1, -0.1], 10**0.5),
        ([-0.1, 0.3, -0.1], 10 * 10**0.75),  # behind, ahead, behind: the last change counts
    ],
)
def test_crossover_is_interpolated_in_the_logarithm_of_n(differences, n):
    found = cross(differences)
    assert found.found
    assert found.n == pytest.approx(n)


def test_only_the_last_of_several_crossings_counts():
    assert cross([0.1, -0.1, 0.1, -0.1], [1, 10, 100, 1000]).n == pytest.approx(100 * 10**0.5)


@pytest.mark.parametrize(
    ("differences", "words"),
    [
        ([0.2, 0.1, 0.1], "no crossover, as nb is ahead at every size"),
        ([-0.2, -0.1, -0.1], "no crossover, as lr is ahead at every size"),
        ([0.2, 0.0, 0.1], "no crossover, as nb is never behind"),
        ([0.0, 0.0, -0.1], "no crossover, as lr is never behind"),
        ([0.0, 0.0, 0.0], "no crossover, as they do not differ at any size"),
        ([-0.2, -0.1, 0.1], "no lasting crossover, as lr is ahead at n = 10 but nb is ahead at the largest size"),
        ([0.2, -0.1, 0.0], "no lasting crossover, as lr is ahead at n = 10 but they are equal at the largest size"),
    ],
)
def test_no_crossover_says_why(differences, words):
    found = cross(differences)
    assert not found.found
    assert np.isnan(found.n)
    assert describe(found, "nb", "lr") == f"nb against lr: {words}"


def test_equal_accuracies_are_a_tie():
    """0.1 + 0.2 is not 0.3 in floating point. Two equal accuracies must not differ by 1e-17."""
    found = crossover([[0.1 + 0.2] * 2], [[0.3] * 2], [1, 2], np.random.default_rng(0))
    assert (found.difference == 0).all()


def test_one_draw_has_no_interval():
    found = cross([0.2, 0.1, -0.1])
    assert np.isnan([found.low, found.high]).all()
    assert describe(found, "nb", "lr") == "nb against lr: crossover at n = 32 per class"


def test_the_interval_is_a_bootstrap_over_the_draws():
    """Of two draws, a quarter of the resamples holds the first twice and a quarter the second twice: these are the ends."""
    draws = np.array([[0.1, 0.1, -0.3], [0.1, 0.1, -0.1]])
    found = cross(draws)
    assert found.n == pytest.approx(10 * 10 ** (1 / 3))
    assert (found.low, found.high) == pytest.approx((10 * 10**0.25, 10 * 10**0.5))
    assert describe(found, "nb", "lr") == "nb against lr: crossover at n = 22 per class (18 to 32)"


def test_draws_are_paired():
    """A subset that is hard for both models changes both accuracies alike, and does not change the crossover."""
    generative = np.array([0.7, 0.6, 0.5])
    discriminative = np.array([0.5, 0.5, 0.6])
    subset_effect = np.array([[0.0], [0.1], [-0.3], [0.2]])
    found = crossover(generative + subset_effect, discriminative + subset_effect, SIZES, np.random.default_rng(0))
    assert found.n == pytest.approx(10 * 10**0.5)
    assert (found.low, found.high) == pytest.approx((found.n, found.n))


@pytest.mark.parametrize(
    ("draws", "low", "high", "words"),
    [
        ([[0.3, 0.1, -0.1], [-0.1, -0.1, -0.2]], 0, 10 * 10**0.5, "crossover at n = 10 per class (below 1 to 32)"),
        ([[0.3, 0.1, 0.1], [0.3, 0.1, -0.3]], 10 * 10**0.25, np.inf, "crossover at n = 32 per class (18 to above 100)"),
        ([[0.3, 0.3, 0.2], [-0.1, -0.1, -0.4]], 0, np.inf, "crossover at n = 32 per class (below 1 to above 100)"),
    ],
)
def test_an_end_of_the_interval_may_be_open(draws, low, high, words):
    found = cross(draws)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert describe(found, "nb", "lr") == f"nb against lr: {words}"


def test_the_same_numbers_give_the_same_interval():
    draws = np.random.default_rng(1).normal([0.1, 0.02, -0.1], 0.05, (5, 3))
    assert (cross(draws).low, cross(draws).high) == (cross(draws).low, cross(draws).high)


@pytest.mark.parametrize(
    ("generative", "sizes", "message"),
    [
        (np.zeros((2, 3)), [1, 2], "do not fit 2 sizes"),
        (np.zeros((0, 3)), [1, 2, 3], "do not fit 3 sizes"),
        ([[0.1, np.nan, 0.3]], [1, 2, 3], "missing"),
        ([[0.1, 0.2, 0.3]], [1, 3, 2], "ascending"),
        ([[0.1, 0.2, 0.3]], [0, 1, 2], "positive"),
    ],
)
def test_invalid_curves_are_refused(generative, sizes, message):
    with pytest.raises(ValueError, match=message):
        crossover(generative, np.zeros_like(generative), sizes, np.random.default_rng(0))
