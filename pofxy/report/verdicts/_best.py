"""The verdict of one metric: the best model, whether that is a tie, and what qualifies it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pofxy.report.comparison import one_each, tied
from pofxy.report.study import Study, summary_rows
from pofxy.report.verdicts import Verdict, Winner
from pofxy.report.wording import bound_sign, decimals, duration, interval, metric_name, number


def best(study: Study, dataset: str, question: str, metrics: Sequence[str]) -> list[Verdict]:
    """A verdict for each of the metrics that has scores, and for each of its units, as units are not comparable.

    Args:
        study: the study.
        dataset: name of a data set.
        question: which of these metrics answer.
        metrics: ids of metrics.
    """
    scores = study.test_summary(dataset)
    return [
        _verdict(study, question, one_each(rows), study.costs(dataset))
        for metric in metrics
        for _, rows in scores[scores["metric"] == metric].groupby("unit", sort=False)
        if len(tied(study, rows))
    ]


def _verdict(study: Study, question: str, rows: pd.DataFrame, costs: pd.DataFrame) -> Verdict:
    """The verdict of one metric and unit; `rows` has one row per model."""
    winners = tied(study, rows)
    places = decimals(rows["value"])
    first = winners.iloc[0]
    others = rows[(rows["family"] != "reference") & ~rows["model"].isin(winners["model"])]
    remarks = []
    if len(winners) > 1:
        fit = costs["fit_seconds"].reindex(winners["model"])
        cheapest = f" {fit.idxmin()} is the cheapest of them: {duration(fit.min())} to fit." if fit.notna().any() else ""
        remarks.append(f"A tie: chance in the test images may explain the differences.{cheapest}")
    elif others.empty:
        remarks.append("No other model was compared.")
    elif np.isnan(first["low"]):
        remarks.append("No interval is known, so a tie cannot be distinguished from a win.")
    else:
        remarks.append("No other model ties with it.")
    if others["bound"].any():
        bounded = ", ".join(others[others["bound"]]["model"].unique())
        remarks.append(f"Only a bound is known for {bounded}: the true value may be better than shown.")
    references = [f"{row.model} {number(row.value, places)}" for row in summary_rows(rows[rows["family"] == "reference"])]
    if references:
        remarks.append(f"For comparison: {', '.join(references)}.")
    seeds = "" if first["seeds"] == 1 else f", mean over {first['seeds']} seeds"
    return Verdict(
        question=question,
        measure=metric_name(first["metric"]),
        details=f"Unit: {first['unit']}; {first['split']} split{seeds}, with 95 % interval",
        winners=[
            Winner(row.model, row.family, bound_sign(row) + number(row.value, places), interval(row.low, row.high, places))
            for row in summary_rows(winners)
        ],
        remarks=remarks,
    )
