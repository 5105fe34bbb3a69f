"""Comparing the scores of models: one estimate per model, differences with their standard errors, and ties with the best."""

import math

import numpy as np
import pandas as pd

from pofxy.evaluation.intervals import Z95, of_bounded
from pofxy.report.study import SCORE_KEYS, Study
from pofxy.study import catalog

# How much wider an interval, of a bootstrap for example, may be than that of the mean of the values per image.
TOLERANCE = 1.25


def one_each(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per model: of several estimators, the one over more images, then the better one, as a bound errs to one side only.

    Args:
        rows: of `Study.summary`, of one data set, metric, unit and split.

    Returns:
        A row for each model, in the order of `rows`.
    """
    return rows.sort_values(["n", "loss"], ascending=[False, True]).drop_duplicates("model").sort_index()


def tied(study: Study, rows: pd.DataFrame) -> pd.DataFrame:
    """The best model and those whose difference from it may be due to chance in the test images, the best first.

    The reference models take no part.

    Args:
        study: the study of these rows. Its values per image, where it has them, are more precise than intervals.
        rows: of `Study.summary`, of one data set, metric, unit and split.
    """
    rows = rows[(rows["family"] != "reference") & np.isfinite(rows["value"])]
    if rows.empty:
        return rows
    rows = one_each(rows).sort_values("loss", kind="stable")
    best = rows.iloc[0]
    gaps = [advantage(study, best, row) for _, row in rows.iloc[1:].iterrows()]
    return rows[[True, *(abs(gap) <= Z95 * error for gap, error in gaps)]]


def advantage(study: Study, a: pd.Series, b: pd.Series) -> tuple[float, float]:
    """How much better a is than b, and the standard error of that; the error is NaN where no interval is known.

    From the paired differences where the first seeds of both models have one value per test image, from both intervals elsewhere.

    Args:
        study: the study of these rows.
        a: a row of `Study.summary`.
        b: another one of the same data set, metric, unit and split.
    """
    values_a = _values_per_image(study, a)
    values_b = _values_per_image(study, b)
    if values_a is not None and values_b is not None and len(values_a) == len(values_b):
        differences = values_a - values_b if a["higher_is_better"] else values_b - values_a  # (N,)
        return float(differences.mean()), _standard_error(differences)
    error = math.hypot(*((row["high"] - row["low"]) / 2 / Z95 for row in (a, b)))
    return float(b["loss"] - a["loss"]), error


def _values_per_image(study: Study, row: pd.Series) -> np.ndarray | None:
    """The values (N,) whose mean is the score of a model's first seed; None where they are unknown or do not explain it."""
    values = study.per_image(row["dataset"], row["model"], row["metric"])
    if values is None or len(values) < 2 or row["split"] != "test" or math.isfinite(row["best"]):
        return None
    score = study.score_of_first_seed(tuple(row[key] for key in SCORE_KEYS))
    if score is None or score[0] != len(values):
        # The values belong to another estimator, over other images.
        return None
    _, low, high = score
    width = high - low
    # A wider interval contains an error that all images share, such as that of a normalizer. Paired differences do not see it.
    explained = math.isnan(width) or width <= TOLERANCE * _interval_width(values, row["metric"]) + 1e-12
    return values if explained else None


def _interval_width(values: np.ndarray, metric: str) -> float:
    """The width of the interval of the mean of the values, (N,), within the range of the metric."""
    entry = catalog.metrics().get(metric)
    if entry is None or entry.lowest is None or entry.highest is None:
        return 2 * Z95 * _standard_error(values)
    variance = float(values.var()) / len(values)
    low, high = of_bounded(float(values.mean()), variance, len(values), entry.lowest, entry.highest)
    return high - low


def _standard_error(values: np.ndarray) -> float:
    """Of the mean of the values, (N,)."""
    return float(values.std(ddof=1) / math.sqrt(len(values)))
