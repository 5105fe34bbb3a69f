"""Best possible: how far the best model is from the true distribution of the data, and whether any model is better than possible.

Only data sets with a known distribution have an answer. There the reference model `oracle` is that distribution.
"""

import math

import numpy as np
import pandas as pd

from pofxy.evaluation.intervals import Z95
from pofxy.report.comparison import advantage, one_each
from pofxy.report.significance import holm
from pofxy.report.study import Study
from pofxy.report.verdicts import Verdict, Winner
from pofxy.report.wording import decimals, interval, metric_name, number

ORDER = 60
# Metrics in which no model beats the true distribution in expectation. In others, samples may do so, for example by a lack of
# diversity.
ORACLE_METRICS = ("accuracy", "log_loss", "bits_per_dim", "log_density")
LEVEL = 0.05


def best_possible(study: Study, dataset: str) -> list[Verdict]:
    """One verdict; none where the distribution of the data is unknown."""
    comparisons = against_oracle(study, dataset)
    if not comparisons:
        return []
    winners = []
    alarms = []
    for oracle, models in comparisons:
        best = models.iloc[0]
        places = decimals([*models["value"], oracle["value"]])
        gap, error = advantage(study, oracle, best)
        name = metric_name(oracle["metric"]).lower()
        where = f"in {name} ({oracle['unit']}), {interval(gap - Z95 * error, gap + Z95 * error, places)}".rstrip(", ")
        winners.append(Winner(best["model"], best["family"], number(gap, places), where))
        for model in _impossible(study, oracle, models):
            alarms.append(f"{model} beats the true distribution in {name}. That is better than possible: something is wrong.")
    return [
        Verdict(
            question="How far from the best possible?",
            measure="Gap to the oracle",
            details="How much better the oracle, which knows the distribution of the data, is than the best model, with 95 % "
            "interval",
            winners=winners,
            remarks=[] if alarms else ["No model is better than possible, beyond chance."],
            alarms=alarms,
        )
    ]


def against_oracle(study: Study, dataset: str) -> list[tuple[pd.Series, pd.DataFrame]]:
    """For each metric and unit in which the oracle has a value: its row, and a row for each model, the best first."""
    scores = study.test_summary(dataset)
    comparisons = []
    for metric in ORACLE_METRICS:
        for _, rows in scores[scores["metric"] == metric].groupby("unit", sort=False):
            rows = one_each(rows[np.isfinite(rows["value"])])
            oracle = rows[rows["model"] == "oracle"]
            models = rows[rows["family"] != "reference"]
            if len(oracle) and len(models):
                comparisons.append((oracle.iloc[0], models.sort_values("loss", kind="stable")))
    return comparisons


def _impossible(study: Study, oracle: pd.Series, models: pd.DataFrame) -> list[str]:
    """The models that beat the oracle by more than chance allows, after Holm's correction for the number of models."""
    p_values = []
    for _, row in models.iterrows():
        gap, error = advantage(study, oracle, row)
        if error > 0:
            # The one-sided p-value: the lower tail of the normal distribution.
            p_values.append(0.5 * math.erfc(-gap / error / math.sqrt(2)))
        else:
            p_values.append(0.0 if gap < 0 else 1.0)
    # For a single model this is a difference of 1.96 standard errors.
    return list(models["model"][holm(p_values) < LEVEL / 2])
