"""The verdict on calibration: its sentence has the scores of both models, and calls better only what is."""

import pandas as pd
import pytest

from made_study import make_study
from pofxy.report.study import Study
from pofxy.report.verdicts.calibration import calibration
from pofxy.study import catalog

SETTINGS = {"lenet": {"of": "logistic_regression", "calibrate": "temperature"}}


def made(folder, **scores):
    """A study where lenet is the calibrated logistic regression; `scores` are (before, after), each with a narrow interval."""
    config = make_study(folder, bad=False) | {"settings": SETTINGS}
    path = folder / "report/scores.csv"
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    rows = table[table["model"].isin(["logistic_regression", "lenet"]) & (table["metric"] == "accuracy")]
    assert len(rows) == 2
    table = table[~table["metric"].isin(scores)]
    for metric, pair in scores.items():
        entry = catalog.metrics()[metric]
        of_metric = rows.assign(metric=metric, higher_is_better=str(entry.higher_is_better), unit=entry.unit)
        for model, value in zip(("logistic_regression", "lenet"), pair, strict=True):
            row = of_metric[of_metric["model"] == model]
            table = pd.concat([table, row.assign(value=str(value), ci_low=str(value - 0.01), ci_high=str(value + 0.01))])
            # Values per image would be compared instead of the intervals.
            for file in folder.glob(f"runs/digits/{model}/seed0/predictions/per_image/{metric}.npy"):
                file.unlink()
    table.to_csv(path, index=False)
    return Study.read(folder, config)


def test_the_sentence_has_the_scores_before_and_after_and_what_changed_beyond_chance(tmp_path):
    study = made(tmp_path, expected_calibration_error=(0.212, 0.026), log_loss=(0.33, 0.332), accuracy=(0.97, 0.93))
    (verdict,) = calibration(study, "digits")
    (sentence,) = verdict.remarks
    assert sentence.startswith("lenet, which is logistic_regression with temperature scaling: expected calibration error 0.2")
    clauses = sentence.split("; ")
    assert "0.212 (0.202 – 0.222) → 0.026 (0.016 – 0.036), better" in clauses[0]
    assert "nats, no change beyond chance" in clauses[1] and clauses[2].endswith("worse.")


@pytest.mark.parametrize("settings", [{}, {"lenet": {"of": "mlp", "calibrate": "isotonic"}}])
def test_without_a_pair_there_is_no_verdict(tmp_path, settings):
    config = make_study(tmp_path, bad=False) | {"settings": settings}
    assert calibration(Study.read(tmp_path, config), "digits") == []
