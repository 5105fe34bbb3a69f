"""The short answer: which model is best at what, whether that is a tie, and which of the tied is the cheapest."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pofxy.report.partners import pairs
from pofxy.report.study import Study
from pofxy.report.wording import decimals, duration, interval, metric_name, number

# The questions that most readers come with, each with the metric that answers it.
QUESTIONS = {
    "accuracy": "Which model classifies best?",
    "frechet_distance": "Whose samples look most like the data?",
    "bits_per_dim": "Which density fits best?",
}


@dataclass(frozen=True)
class Verdict:
    """One question and its answer; all text.

    Attributes:
        question: as the reader asks it.
        measure: what it was measured in.
        winners: (model, family, value, interval), the best first; more than one is a tie, none an answer in the remarks alone.
        remarks: sentences that qualify it.
    """

    question: str
    measure: str
    winners: list[tuple[str, str, str, str]]
    remarks: list[str]


def verdicts(study: Study, dataset: str) -> list[Verdict]:
    """A verdict for each question that this data set has scores for; one for each unit, as units do not compare."""
    found = study.summary[(study.summary["dataset"] == dataset) & (study.summary["split"] != "train")]
    answers = [
        _verdict(question, rows, study.costs(dataset))
        for metric, question in QUESTIONS.items()
        for _, rows in found[found["metric"] == metric].groupby("unit", sort=False)
        if len(tied(rows))
    ]
    if said := [pair.verdict for pair in pairs(study, dataset)]:
        measure = "Accuracy on test against n training images per class, with the 95 % interval of the crossover"
        answers.append(Verdict("From how many images on does the discriminative partner win?", measure, [], said))
    return answers


def tied(rows: pd.DataFrame) -> pd.DataFrame:
    """The best model and those whose intervals overlap its own, the best first; references take no part.

    Args:
        rows: of `Study.summary`, of one data set, metric, unit and split.
    """
    rows = rows[(rows["family"] != "reference") & np.isfinite(rows["value"])]
    if rows.empty:
        return rows
    rows = rows.sort_values("value", ascending=not rows["higher_is_better"].iloc[0], kind="stable").drop_duplicates("model")
    best = rows.iloc[0]
    overlap = (rows["low"] <= best["high"]) & (rows["high"] >= best["low"])
    return rows[overlap | (rows.index == best.name)]


def _verdict(question: str, rows: pd.DataFrame, costs: pd.DataFrame) -> Verdict:
    best, places = tied(rows), decimals(rows["value"])
    first = best.iloc[0]
    others = rows[(rows["family"] != "reference") & ~rows["model"].isin(best["model"])]
    remarks = []
    if len(best) > 1:
        fit = costs["fit_seconds"].reindex(best["model"])
        cheapest = f" {fit.idxmin()} is the cheapest of them: {duration(fit.min())} to fit." if fit.notna().any() else ""
        remarks.append(f"A tie: their intervals overlap.{cheapest}")
    elif others.empty:
        remarks.append("The only model that was compared.")
    elif np.isnan(first["low"]):
        remarks.append("No interval is known, so a tie cannot be told from a win.")
    else:
        remarks.append("Its interval overlaps no other model's.")
    if others["bound"].any():
        worse = ", ".join(others[others["bound"]]["model"].unique())
        remarks.append(f"Only a bound is known for {worse}: the true value may be better than shown.")
    references = [f"{r.model} {number(r.value, places)}" for r in rows[rows["family"] == "reference"].itertuples()]
    if references:
        remarks.append(f"For comparison: {', '.join(references)}.")
    seeds = "" if first["seeds"] == 1 else f", mean of {first['seeds']} seeds"
    measure = f"{metric_name(first['metric'])} ({first['unit']}) on {first['split']}{seeds}, with its 95 % interval"
    winners = [
        (r.model, r.family, ("≤ " if r.bound else "") + number(r.value, places), interval(r.low, r.high, places))
        for r in best.itertuples()
    ]
    return Verdict(question, measure, winners, remarks)
