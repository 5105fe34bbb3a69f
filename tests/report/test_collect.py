"""What is collected from the runs: normalized scores, and why a run failed."""

import pytest

from pofxy.report.collect import status_of, with_normalized_scores
from pofxy.storage.files import write_json
from pofxy.study.run import Run


def score(model, value, family="reference", half=0.05):
    row = {"dataset": "d", "metric": "recall", "unit": "share", "split": "test", "model": model, "family": family}
    return row | {"value": value, "ci_low": float(value) - half, "ci_high": float(value) + half}


def test_a_value_is_normalized_between_floor_and_ceiling():
    rows = [
        score("mine", "0.75", "generative"),
        score("real_train", "0.95"),
        score("independent_pixels", "0.15"),
        score("noise", 0),
    ]
    normalized = {row["model"]: row["normalized_score"] for row in with_normalized_scores(rows)}
    assert normalized == pytest.approx({"mine": 0.25, "real_train": 0, "independent_pixels": 1, "noise": 0.95 / 0.8})


def test_of_a_table_noise_is_the_ceiling():
    rows = [score("mine", "0.5", "generative"), score("real_train", "1"), score("noise", "0")]
    assert with_normalized_scores(rows)[0]["normalized_score"] == 0.5


def test_without_floor_and_ceiling_apart_there_is_no_normalized_score():
    rows = [score("mine", "0.5", "generative"), score("real_train", "1")]
    assert "normalized_score" not in with_normalized_scores(rows)[0], "no ceiling"
    rows = [score("mine", "0.5", "generative"), score("real_train", "1", half=0.3), score("noise", "0.5", half=0.3)]
    assert "normalized_score" not in with_normalized_scores(rows)[0], "their difference may be due to chance"


def test_a_calibrated_model_says_which_model_it_could_not_take(tmp_path):
    settings = {"net": {"of": "lenet", "calibrate": "temperature"}}
    config = {"results": str(tmp_path), "settings": settings, "seeds": [0]}
    runs = [
        Run("digits", "lenet", "lenet", "discriminative", 0, ("predict", "predict_proba")),
        Run("digits", "net", "lenet", "discriminative", 0, ("predict", "predict_proba"), "temperature"),
    ]
    write_json(tmp_path / "runs/digits/lenet/seed0/failure.json", {"status": "timeout", "stage": "train", "reason": "too slow"})
    assert status_of(config, runs[0], runs) == ("timeout", "train: too slow")
    assert status_of(config, runs[1], runs) == ("failed", "lenet: too slow")
