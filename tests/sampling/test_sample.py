"""Which labels a conditional model gets."""

import numpy as np
import pytest

from pofxy.sampling.sample import proportional_labels


def test_labels_of_equally_frequent_classes_alternate():
    assert proportional_labels([7, 7, 7], 8).tolist() == [0, 1, 2, 0, 1, 2, 0, 1]


@pytest.mark.parametrize(("counts", "n"), [([900, 100], 50), ([5, 3, 2], 7), ([1000, 1, 1], 20), ([1, 2, 3, 4], 1)])
def test_labels_are_as_frequent_as_the_classes(counts, n):
    labels = proportional_labels(counts, n)
    frequency = np.bincount(labels, minlength=len(counts))
    share = n * np.array(counts) / sum(counts)
    assert len(labels) == n
    assert (np.abs(frequency - share) < 1).all()
    half = np.bincount(labels[: n // 2], minlength=len(counts))
    assert (np.abs(half - frequency / 2) <= 1).all(), "each class is evenly spread"
