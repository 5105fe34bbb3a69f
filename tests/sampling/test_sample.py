"""Which labels a conditional model is asked for, and what its samples look like."""

import numpy as np
import pytest
import torch
from PIL import Image

from pofxy.report.collect import with_normalized_scores
from pofxy.sampling.sample import in_turn
from pofxy.storage.image_grid import save_scatter


def test_classes_that_are_as_frequent_take_turns():
    assert in_turn([7, 7, 7], 8).tolist() == [0, 1, 2, 0, 1, 2, 0, 1]


@pytest.mark.parametrize(("counts", "n"), [([900, 100], 50), ([5, 3, 2], 7), ([1000, 1, 1], 20), ([1, 2, 3, 4], 1)])
def test_classes_are_asked_for_as_often_as_they_occur(counts, n):
    labels = in_turn(counts, n)
    found, share = np.bincount(labels, minlength=len(counts)), n * np.array(counts) / sum(counts)
    assert len(labels) == n and (np.abs(found - share) < 1).all()
    half = np.bincount(labels[: n // 2], minlength=len(counts))
    assert (np.abs(half - found / 2) <= 1).all(), "spread evenly"


def test_rows_of_a_table_are_drawn_as_points(tmp_path):
    x = torch.rand(50, 2, generator=torch.Generator().manual_seed(0))
    for name, rows, labels in (("a", x, torch.arange(50) % 3), ("b", x[:, :1], None)):
        save_scatter(tmp_path / f"{name}.png", rows, labels)
        picture = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"))
        assert picture.shape[0] == picture.shape[1] > 300
        coloured = (picture.max(2).astype(int) - picture.min(2) > 60).sum()
        assert coloured > 2 * len(rows), "there are points, in colours"


def score(model, value, family="reference", half=0.05):
    whose = {"dataset": "d", "metric": "recall", "unit": "share", "split": "test", "model": model, "family": family}
    return whose | {"value": value, "ci_low": float(value) - half, "ci_high": float(value) + half}


def test_a_value_has_its_place_between_floor_and_ceiling():
    rows = [
        score("mine", "0.75", "generative"),
        score("real_train", "0.95"),
        score("independent_pixels", "0.15"),
        score("noise", 0),
    ]
    place = {row["model"]: row["normalized_score"] for row in with_normalized_scores(rows)}
    assert place == pytest.approx({"mine": 0.25, "real_train": 0, "independent_pixels": 1, "noise": 0.95 / 0.8})
    table = [score("mine", "0.5", "generative"), score("real_train", "1"), score("noise", "0")]
    assert with_normalized_scores(table)[0]["normalized_score"] == 0.5, "of a table noise is the ceiling"
    assert "normalized_score" not in with_normalized_scores([score("mine", "0.5", "generative"), score("real_train", "1")])[0]
    unsure = [score("mine", "0.5", "generative"), score("real_train", "1", half=0.3), score("noise", "0.5", half=0.3)]
    assert "normalized_score" not in with_normalized_scores(unsure)[0], "chance may explain what sets floor and ceiling apart"
