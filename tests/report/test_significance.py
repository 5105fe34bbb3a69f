"""Tests of comparisons against SciPy, published tables and examples worked by hand."""

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import binomtest

from conftest import ROOT
from pofxy.report.significance import cliques, critical_difference, friedman, holm, mcnemar, mean_ranks


def right(only_a: int, only_b: int, both: int = 5, neither: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """What two classifiers get right, of so many images of each kind."""
    counts = [both, only_a, only_b, neither]
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


@pytest.mark.parametrize(("only_a", "only_b"), [(1, 0), (0, 6), (3, 9), (9, 3), (40, 61), (7, 8), (900, 1100), (0, 5000)])
def test_mcnemar_is_the_binomial_test_of_the_images_that_one_alone_gets_right(only_a, only_b):
    expected = binomtest(only_a, only_a + only_b).pvalue
    assert mcnemar(*right(only_a, only_b)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("count", [0, 1, 12])
def test_mcnemar_of_a_draw_is_one(count):
    assert mcnemar(*right(count, count)) == 1.0


def test_holm_worked_by_hand():
    # Sorted: 4 x 0.005, 3 x 0.01, 2 x 0.03, 1 x 0.04, which is raised to the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.7, 0.6]) == pytest.approx([1, 1])
    assert holm([]).shape == (0,)


def test_tied_models_share_their_mean_rank():
    scores = [[0.9, 0.8, 0.8, 0.7], [0.5, 0.6, 0.6, 0.6]]  # ranks 1, 2.5, 2.5, 4 and 4, 2, 2, 2
    assert mean_ranks(scores) == pytest.approx([2.5, 2.25, 2.25, 3])


def test_friedman_worked_by_hand():
    # Ranks always 1, 2, 3: chi2 = 12 / (3 * 3 * 4) (3^2 + 6^2 + 9^2) - 3 * 3 * 4 = 6, and with two degrees p = exp(-6 / 2).
    assert friedman([[3, 2, 1], [9, 8, 7], [0.3, 0.2, 0.1]]) == pytest.approx(math.exp(-3))
    # Ranks 1, 2.5, 2.5 and 1, 2, 3: chi2 = 3.25, divided by 1 - (2^3 - 2) / (2 * 3 * (3^2 - 1)) for the tie.
    assert friedman([[3, 1, 1], [3, 2, 1]]) == pytest.approx(math.exp(-3.25 / 0.875 / 2))


def test_friedman_where_there_is_nothing_to_test():
    assert friedman([[1, 1, 1], [2, 2, 2]]) == 1
    assert math.isnan(friedman([[1, 2], [2, 3], [1, 3]]))
    assert math.isnan(friedman([[1, 2, 3]]))


@pytest.mark.parametrize(("models", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)])
def test_critical_difference_has_demsars_published_q(models, q):
    """J. Demšar, 2006, table 5 (a)."""
    assert critical_difference(models, 30) == pytest.approx(q * math.sqrt(models * (models + 1) / (6 * 30)), rel=5e-4)


def test_critical_difference_of_demsars_own_example():
    """Four models on 14 data sets, section 3.2.3: 1.25 at 5 %, 1.12 at 10 %."""
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    assert critical_difference(4, 14, alpha=0.1) == pytest.approx(1.12, abs=0.005)


@pytest.mark.parametrize(
    ("ranks", "difference", "expected"),
    [
        ([1, 2, 3, 4], 9, [(0, 3)]),
        ([1, 2, 3, 4], 0.5, []),
        ([1, 2, 3, 4], 1.5, [(0, 1), (1, 2), (2, 3)]),
        ([1, 1.5, 3, 3.5, 4, 6], 1, [(0, 1), (2, 4)]),
        ([4, 1, 3.5, 6, 1.5, 3], 1, [(0, 1), (2, 4)]),
        ([1, 2, 2.5, 3.5], 1.5, [(0, 2), (1, 3)]),
        ([2, 2], 0.1, [(0, 1)]),
        ([1], 5, []),
    ],
    ids=["all", "none", "chain", "two groups and one alone", "any order", "overlap", "tie", "one model"],
)
def test_cliques(ranks, difference, expected):
    assert cliques(np.array(ranks), difference) == expected


def test_nothing_heavy_is_imported():
    code = "import sys, pofxy.report.significance; sys.exit(bool({'torch', 'scipy.stats', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0
