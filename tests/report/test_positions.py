"""The place of a score between floor and ceiling."""

import pytest

from pofxy.report.collect import _positioned


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
    place = {row["model"]: row["position"] for row in _positioned(rows)}
    assert place == pytest.approx({"mine": 0.25, "real_train": 0, "independent_pixels": 1, "noise": 0.95 / 0.8})
    table = [score("mine", "0.5", "generative"), score("real_train", "1"), score("noise", "0")]
    assert _positioned(table)[0]["position"] == 0.5, "of a table noise is the ceiling"
    assert "position" not in _positioned([score("mine", "0.5", "generative"), score("real_train", "1")])[0]
    unsure = [score("mine", "0.5", "generative"), score("real_train", "1", half=0.3), score("noise", "0.5", half=0.3)]
    assert "position" not in _positioned(unsure)[0], "chance may explain what sets floor and ceiling apart"
