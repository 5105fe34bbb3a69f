"""Memorization: whether the samples of a model repeat train images."""

from typing import cast

import numpy as np
import pandas as pd

from pofxy.evaluation.intervals import Z95
from pofxy.report.comparison import advantage
from pofxy.report.significance import holm
from pofxy.report.study import Study
from pofxy.report.verdicts import Verdict
from pofxy.report.wording import p_text

ORDER = 40
# The level of the memorization test.
LEVEL = 0.05
# An authenticity this far below that of real train images is suspicious, where the difference is also significant.
AUTHENTICITY_GAP = 0.1


def memorization(study: Study, dataset: str) -> list[Verdict]:
    """One verdict; none where no model generates samples."""
    scores = study.test_summary(dataset)
    if not scores["metric"].isin(["memorization_p_value", "authenticity"]).any():
        return []
    p_values, authenticity = memorized(study, dataset)
    families = dict(zip(scores["model"], scores["family"]))
    suspects = too_near(study, dataset, p_values)
    near = {model: p for model, p in p_values.items() if families.get(model) != "reference" and model in suspects}
    alarms = []
    for model in dict.fromkeys([*near, *authenticity]):
        signs = []
        if model in near:
            signs.append(f"its samples are closer to train images than to test images ({p_text(near[model])})")
        if model in authenticity:
            signs.append(f"only {100 * authenticity[model]:.0f} % of its samples are authentic")
        alarms.append(f"{model}: {', and '.join(signs)}.")
    return [
        Verdict(
            question="Does anything look memorized?",
            measure="Memorization test and authenticity",
            details=f"The test asks whether samples are closer to train images than to test images: p < {LEVEL:g} after Holm's "
            "correction. Authenticity is the share of samples that are not near copies of a train image.",
            remarks=_remarks(p_values, suspects, bool(alarms)),
            alarms=alarms,
        )
    ]


def _remarks(p_values: dict[str, float], suspects: set[str], alarmed: bool) -> list[str]:
    splits_differ = p_values.get("real_train", 1) < LEVEL
    remarks = []
    if not alarmed and splits_differ:
        remarks.append("No model's samples are closer to the train images than real images are.")
    elif not alarmed:
        remarks.append("No model's samples are closer to the train images than to the test images.")
    if splits_differ:
        remarks.append(
            "Real train images are also closer to train than to test: the splits differ. Only models whose samples are even "
            "closer to train than real images are suspected."
        )
    if "copycat" in p_values and "copycat" in suspects:
        remarks.append("The test detects copycat, the baseline that repeats train images, as it should.")
    elif "copycat" in p_values:
        remarks.append(
            "The test does not detect copycat, the baseline that repeats train images: with so few samples it has no power."
        )
    return remarks


def memorized(study: Study, dataset: str) -> tuple[dict[str, float], dict[str, float]]:
    """Two signs of samples that repeat train images.

    Returns:
        p-values of the memorization test by model, adjusted for the number of models by Holm's method; those of reference models
        last and not adjusted. Of several seeds, twice their mean is a p-value, however they depend on each other
        (L. Rüschendorf, "Random variables with maximum sums", Advances in Applied Probability 14, 1982).
        Authenticity by model, where it is far below that of real train images.
    """
    summary = study.summary[study.summary["dataset"] == dataset]
    rows = summary[(summary["metric"] == "memorization_p_value") & np.isfinite(summary["value"])]
    rows = rows.assign(value=np.where(rows["seeds"] > 1, np.minimum(2 * rows["value"], 1), rows["value"]))
    models = rows[rows["family"] != "reference"]
    references = rows[rows["family"] == "reference"]
    p_values = dict(zip(models["model"], holm(models["value"].to_numpy()))) | dict(zip(references["model"], references["value"]))
    rows = summary[summary["metric"] == "authenticity"]
    real = rows[rows["model"] == "real_train"]
    low = {}
    for _, row in rows[rows["family"] != "reference"].iterrows():
        if len(real):
            gap, error = advantage(study, real.iloc[0], row)
            if gap > AUTHENTICITY_GAP and gap > Z95 * error:
                low[row["model"]] = float(row["value"])
    return p_values, low


def too_near(study: Study, dataset: str, p_values: dict[str, float]) -> set[str]:
    """The models whose samples are closer to train images than chance allows.

    Where the train and test splits differ, for example in their writers, even real train images are closer to train, and the test
    rejects them too. There a model is suspected only if its nearest-neighbor ratio is significantly below theirs.

    Args:
        study: the study.
        dataset: name of a data set.
        p_values: adjusted p-values by model, from `memorized`.
    """
    near = {model for model, p in p_values.items() if p < LEVEL}
    if "real_train" not in near:
        return near
    ratios = study.summary[(study.summary["dataset"] == dataset) & (study.summary["metric"] == "nearest_neighbor_ratio")]
    ratios = ratios.drop_duplicates("model").set_index("model", drop=False)
    if "real_train" not in ratios.index:
        return near
    real = cast("pd.Series", ratios.loc["real_train"])
    leads = {model: advantage(study, real, cast("pd.Series", ratios.loc[model])) for model in near if model in ratios.index}
    return {model for model, (lead, error) in leads.items() if lead > Z95 * error and model != "real_train"}
