"""Curves of accuracy or error as charts show them: the mean over the seeds."""

import numpy as np
import pandas as pd

from pofxy.report.study import Study


def mean_curves(study: Study, dataset: str, name: str) -> pd.DataFrame:
    """The curve `name` of each model of a data set, the mean over its seeds.

    Returns:
        A row per model, condition, draw and place, in the order of the runs: model, family, condition, draw, at, value, low and
        high (from the lowest to the highest end of the seeds' intervals, NaN where there are none) and n.
    """
    curves = study.curves
    rows = curves[(curves["dataset"] == dataset) & (curves["curve"] == name) & np.isfinite(curves["value"])]
    groups = rows.groupby(["model", "family", "condition", "draw", "at"], sort=False, as_index=False)
    return groups.agg(value=("value", "mean"), low=("ci_low", "min"), high=("ci_high", "max"), n=("n", "max"))


def families_of(rows: pd.DataFrame) -> dict[str, str]:
    """The family of each model in these rows."""
    return dict(zip(rows["model"], rows["family"], strict=True))
