"""What is collected: normalized scores, why a run failed, and a large study's tables, whose figures show its best models."""

import pytest

from made_study import make_large_study
from pofxy.report import render
from pofxy.report.collect import collect, status_of, with_normalized_scores
from pofxy.report.study import Study
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
    assert status_of(config, runs[0], None, ("lenet", "net")) == ("timeout", "train: too slow")
    assert status_of(config, runs[1], None, ("lenet", "net")) == ("failed", "lenet: too slow")


@pytest.mark.slow
def test_a_large_study_has_all_models_in_its_tables_and_the_best_in_its_figures(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(render, "LARGE", 20)
    config = make_large_study(tmp_path / "results", copies=3, seeds=(0, 1), datasets=("one",))
    collect(config)
    study = Study.read(tmp_path / "results", config)
    assert set(study.runs["status"]) == {"ok"} and set(config["models"]) <= set(study.runs["model"])
    learned = study.curves[study.curves["curve"] == "learning_curve"]
    assert learned.groupby("model")["at"].max().round(1).eq(126.0).all(), "each ends with its own accuracy on all images"
    assert render.is_large(study)
    shown = {model for _, model in render.best_of_families(study)}
    family = study.runs.drop_duplicates("model").set_index("model")["family"]
    counts = family[list(shown)].value_counts()
    assert counts["discriminative"] == counts["generative"] == render.BEST_OF_FAMILY
    assert {"real_train", "noise"} <= shown
    accuracy = study.summary[study.summary["metric"] == "accuracy"]
    for _, rows in accuracy[accuracy["family"] != "reference"].groupby("family"):
        assert rows.sort_values("loss")["model"].iloc[0] in shown
    part = study.of_models({("one", model) for model in shown})
    assert set(part.runs["model"]) == shown == set(part.scores["model"]) | (shown - set(study.scores["model"]))
