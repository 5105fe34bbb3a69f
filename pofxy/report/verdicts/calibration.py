"""Calibration: what calibrating probabilities on val gains and costs, by the scores of a model before and after it."""

import math

from pofxy.evaluation.intervals import Z95
from pofxy.report.comparison import advantage, one_each
from pofxy.report.study import Study
from pofxy.report.verdicts import Verdict
from pofxy.report.wording import decimals, interval, metric_name, number
from pofxy.study import plan

ORDER = 80
# What calibration is there to improve, and then what it may cost.
COMPARED = ("expected_calibration_error", "log_loss", "accuracy")
METHODS = {"temperature": "temperature scaling", "isotonic": "isotonic regression"}


def calibration(study: Study, dataset: str) -> list[Verdict]:
    """One verdict; none where no model has scores both with and without calibration."""
    remarks = []
    for before, after in calibrated_pairs(study, dataset):
        changes = [change(study, dataset, before, after, metric) for metric in COMPARED]
        if known := [text for text in changes if text]:
            method = METHODS[study.config["settings"][after]["calibrate"]]
            remarks.append(f"{after}, which is {before} with {method}: {'; '.join(known)}.")
    if not remarks:
        return []
    return [
        Verdict(
            question="What does calibration gain, and what does it cost?",
            measure="Scores before and after calibration",
            details="Probabilities are corrected on the val split; the scores are of the test split, before → after, with 95 % "
            "intervals. A change is beyond chance where its own 95 % interval does not contain 0.",
            remarks=remarks,
        )
    ]


def calibrated_pairs(study: Study, dataset: str) -> list[tuple[str, str]]:
    """The name of a model and of its calibrated variant, for each variant of which the study has both."""
    models = list(study.runs[study.runs["dataset"] == dataset]["model"].unique())
    settings = study.config.get("settings", {})
    plain = {model: plan.uncalibrated(settings, model, models) for model in models}
    return [(before, after) for after, before in plain.items() if before]


def change(study: Study, dataset: str, before: str, after: str, metric: str) -> str:
    """A clause: the score of both models, and whether they differ beyond chance; "" where one of them has no score."""
    scores = study.test_summary(dataset)
    row_of = {row["model"]: row for _, row in one_each(scores[scores["metric"] == metric]).iterrows()}
    if before not in row_of or after not in row_of:
        return ""
    pair = [row_of[before], row_of[after]]
    places = decimals([row["value"] for row in pair])
    texts = []
    for row in pair:
        known = interval(row["low"], row["high"], places)
        texts.append(f"{number(row['value'], places)} ({known})" if known else number(row["value"], places))
    gain, error = advantage(study, pair[1], pair[0])
    verdict = "no change beyond chance"
    if not math.isnan(error) and abs(gain) > Z95 * error:
        verdict = "better" if gain > 0 else "worse"
    unit = "" if pair[0]["unit"] in ("share", "") else f" {pair[0]['unit']}"
    return f"{metric_name(metric).lower()} {' → '.join(texts)}{unit}, {verdict}"
