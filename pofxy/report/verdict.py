"""The short answer: which model is best at what, whether that is a tie, what looks memorized, how much better one could be."""

import math
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from pofxy.report.counterparts import pairs
from pofxy.report.significance import holm
from pofxy.report.study import Study
from pofxy.report.wording import decimals, duration, interval, metric_name, number

# The questions that most readers come with, each with the metric that answers it.
QUESTIONS = {
    "accuracy": "Which model classifies best?",
    "frechet_distance": "Whose samples look most like the data?",
    "bits_per_dim": "Which density fits best?",
    "log_density": "Which density fits best?",
}
# What the true law gives a least value of; the rest a sample may beat by luck or by being something else.
LAWFUL = ("accuracy", "log_loss", "bits_per_dim", "log_density")
Z, LEVEL = 1.96, 0.05
# By how much an interval from a bootstrap may be wider than that of the values' mean.
WIDER = 1.25
# Authenticity that is lower than real train images' by this much is more than a question of intervals.
FAR = 0.1


@dataclass(frozen=True)
class Verdict:
    """One question and its answer; all text.

    Attributes:
        question: as the reader asks it.
        measure: what it was measured in.
        winners: (model, family, value, interval), the best first; more than one is a tie, none an answer in the remarks alone.
        remarks: sentences that qualify it.
        alarms: sentences that say that something is wrong.
    """

    question: str
    measure: str
    winners: list[tuple[str, str, str, str]]
    remarks: list[str]
    alarms: list[str] = field(default_factory=list)


def verdicts(study: Study, dataset: str) -> list[Verdict]:
    """A verdict for each question that this data set has scores for; one for each unit, as units do not compare."""
    found = study.summary[(study.summary["dataset"] == dataset) & (study.summary["split"] != "train")]
    answers = [
        _verdict(study, question, one_each(rows), study.costs(dataset))
        for metric, question in QUESTIONS.items()
        for _, rows in found[found["metric"] == metric].groupby("unit", sort=False)
        if len(tied(study, rows))
    ]
    answers += [verdict for verdict in (_memorised(study, found), _collapsed(study, found), _possible(study, found)) if verdict]
    if said := [pair.verdict for pair in pairs(study, dataset)]:
        measure = "Accuracy on test against n training images per class, with the 95 % interval of the crossover"
        answers.append(Verdict("From how many images on does the discriminative partner win?", measure, [], said))
    return answers


def one_each(rows: pd.DataFrame) -> pd.DataFrame:
    """Of several estimators of one model, the one over more images, then the better: a bound errs to one side only.

    Args:
        rows: of `Study.summary`, of one data set, metric, unit and split.

    Returns:
        A row for each model, in the order of `rows`.
    """
    return rows.sort_values(["n", "loss"], ascending=[False, True]).drop_duplicates("model").sort_index()


def tied(study: Study, rows: pd.DataFrame) -> pd.DataFrame:
    """The best model and those that chance in the test images may set apart from it, the best first; references take no part.

    Args:
        study: whose values per image tell more than intervals do, where it has them.
        rows: of `Study.summary`, of one data set, metric, unit and split.
    """
    rows = rows[(rows["family"] != "reference") & np.isfinite(rows["value"])]
    if rows.empty:
        return rows
    rows = one_each(rows).sort_values("loss", kind="stable")
    best = rows.iloc[0]
    gaps = [advantage(study, best, row) for _, row in rows.iloc[1:].iterrows()]
    return rows[[True, *(abs(gap) <= Z * error for gap, error in gaps)]]


def advantage(study: Study, a: pd.Series, b: pd.Series) -> tuple[float, float]:
    """By how much a is better than b, and the standard error of that; NaN where no interval is known.

    From the differences of paired values where both models' first seeds have one per test image; from both intervals elsewhere.

    Args:
        study: whose runs these are.
        a, b: rows of `Study.summary`, of one data set, metric, unit and split.
    """
    paired = [_of_images(study, row) for row in (a, b)]
    if all(values is not None for values in paired) and len(paired[0]) == len(paired[1]):
        differences = paired[0] - paired[1] if a["higher_is_better"] else paired[1] - paired[0]
        return float(differences.mean()), float(differences.std(ddof=1) / math.sqrt(len(differences)))
    return float(b["loss"] - a["loss"]), math.hypot(*((row["high"] - row["low"]) / 2 / Z for row in (a, b)))


def _of_images(study: Study, row: pd.Series) -> np.ndarray | None:
    """The values (n,) whose mean is the score of a model's first seed; None where they are not known, or are not all of it."""
    values = study.per_image(row["dataset"], row["model"], row["metric"])
    if values is None or len(values) < 2 or row["split"] != "test" or math.isfinite(row["best"]):
        return None
    one = ["dataset", "model", "metric", "unit", "split", "estimator"]
    scores = study.scores[(study.scores[one] == row[one]).all(axis=1)]
    scores = scores[scores["seed"] == study.first_seed(row["dataset"], row["model"])]
    if scores.empty or scores["n"].iloc[0] != len(values):
        return None  # the values of another estimator, over other images
    error, own = (scores["ci_high"] - scores["ci_low"]).iloc[0] / 2 / Z, values.std(ddof=1) / math.sqrt(len(values))
    # An interval that is wider holds an error that all images share, as of a normaliser: pairs do not see it.
    return values if math.isnan(error) or error <= WIDER * own + 1e-12 else None


def _verdict(study: Study, question: str, rows: pd.DataFrame, costs: pd.DataFrame) -> Verdict:
    best, places = tied(study, rows), decimals(rows["value"])
    first = best.iloc[0]
    others = rows[(rows["family"] != "reference") & ~rows["model"].isin(best["model"])]
    remarks = []
    if len(best) > 1:
        fit = costs["fit_seconds"].reindex(best["model"])
        cheapest = f" {fit.idxmin()} is the cheapest of them: {duration(fit.min())} to fit." if fit.notna().any() else ""
        remarks.append(f"A tie: chance in the test images may explain what sets them apart.{cheapest}")
    elif others.empty:
        remarks.append("The only model that was compared.")
    elif np.isnan(first["low"]):
        remarks.append("No interval is known, so a tie cannot be told from a win.")
    else:
        remarks.append("No other model ties with it.")
    if others["bound"].any():
        worse = ", ".join(others[others["bound"]]["model"].unique())
        remarks.append(f"Only a bound is known for {worse}: the true value may be better than shown.")
    references = [f"{r.model} {number(r.value, places)}" for r in rows[rows["family"] == "reference"].itertuples()]
    if references:
        remarks.append(f"For comparison: {', '.join(references)}.")
    seeds = "" if first["seeds"] == 1 else f", mean of {first['seeds']} seeds"
    measure = f"{metric_name(first['metric'])} ({first['unit']}) on {first['split']}{seeds}, with its 95 % interval"
    winners = [
        (r.model, r.family, bound_sign(r) + number(r.value, places), interval(r.low, r.high, places)) for r in best.itertuples()
    ]
    return Verdict(question, measure, winners, remarks)


def bound_sign(row) -> str:
    """≤ or ≥ before a bound, which the true value may better; "" before a value."""
    return ("≥ " if row.higher_is_better else "≤ ") if row.bound else ""


def memorized(study: Study, dataset: str) -> tuple[dict[str, float], dict[str, float]]:
    """What speaks for samples that repeat train images.

    Returns:
        p-values of the memorization test by model, adjusted for the number of models by Holm's method; references last and not
        adjusted. Of several seeds, twice their mean is a p-value, however they depend (L. Rüschendorf, Adv. Appl. Prob., 1982).
        Authenticity by model where it is far below that of real train images.
    """
    rows = study.summary[(study.summary["dataset"] == dataset) & (study.summary["metric"] == "memorization_p_value")]
    rows = rows[np.isfinite(rows["value"])]
    rows = rows.assign(value=np.where(rows["seeds"] > 1, np.minimum(2 * rows["value"], 1), rows["value"]))
    models, others = rows[rows["family"] != "reference"], rows[rows["family"] == "reference"]
    p = dict(zip(models["model"], holm(models["value"]))) | dict(zip(others["model"], others["value"]))
    found = study.summary[(study.summary["dataset"] == dataset) & (study.summary["metric"] == "authenticity")]
    real = found[found["model"] == "real_train"]
    low = {}
    for _, row in found[found["family"] != "reference"].iterrows():
        if len(real):
            gap, error = advantage(study, real.iloc[0], row)
            if gap > FAR and gap > Z * error:
                low[row["model"]] = float(row["value"])
    return p, low


def too_near(study: Study, dataset: str, p: dict[str, float]) -> set[str]:
    """The models whose samples are closer to train images than chance allows.

    Where train and test are not alike, as of other writers, even real train images are closer to train: the test fails them too.
    There a model is suspected only where its nearest-neighbour ratio lies below theirs, beyond chance.

    Args:
        study: whose runs these are.
        dataset: its name.
        p: adjusted p-values by model, as `memorized` gives them.
    """
    near = {model for model, value in p.items() if value < LEVEL}
    if "real_train" not in near:
        return near
    ratios = study.summary[(study.summary["dataset"] == dataset) & (study.summary["metric"] == "nearest_neighbor_ratio")]
    ratios = ratios.drop_duplicates("model").set_index("model", drop=False)
    if "real_train" not in ratios.index:
        return near
    leads = {model: advantage(study, ratios.loc["real_train"], ratios.loc[model]) for model in near if model in ratios.index}
    return {model for model, (lead, error) in leads.items() if lead > Z * error and model != "real_train"}


def _memorised(study: Study, found: pd.DataFrame) -> Verdict | None:
    if not len(found) or not found["metric"].isin(["memorization_p_value", "authenticity"]).any():
        return None
    dataset = found["dataset"].iloc[0]
    p, low = memorized(study, dataset)
    families, suspects = dict(zip(found["model"], found["family"])), too_near(study, dataset, p)
    near = {model: value for model, value in p.items() if families.get(model) != "reference" and model in suspects}
    alarms = []
    for model in dict.fromkeys([*near, *low]):
        said = [f"its samples are closer to train images than to test images ({p_text(near[model])})"] if model in near else []
        said += [f"only {100 * low[model]:.0f} % of its samples are authentic"] if model in low else []
        alarms.append(f"{model}: {', and '.join(said)}.")
    remarks = [] if alarms else ["No model's samples are closer to the train images than to test images."]
    if p.get("real_train", 1) < LEVEL:
        remarks = [] if alarms else ["No model's samples are closer to the train images than real ones are."]
        remarks.append(
            "Real train images are closer to train than to test as well: the splits differ, so only what is closer counts."
        )
    if "copycat" in p:
        found_out = "The test finds copycat, which repeats train images, as it should."
        blind = "The test does not even find copycat, which repeats train images: with so few samples it is blind."
        remarks.append(found_out if "copycat" in suspects else blind)
    measure = f"Test of the samples' distances to train and test images, p < {LEVEL:g} after Holm's correction, and authenticity"
    return Verdict("Does anything look memorized?", measure, [], remarks, alarms)


def _collapsed(study: Study, found: pd.DataFrame) -> Verdict | None:
    """Which models draw the same again and again, or leave out a class; None where no training was watched for it."""
    if not len(found):
        return None
    dataset, alarms, watched = found["dataset"].iloc[0], [], False
    shares = found[(found["metric"] == "distinct_classes") & (found["family"] == "generative")]
    shares = dict(zip(shares["model"], shares["value"]))
    runs = study.runs[(study.runs["dataset"] == dataset) & (study.runs["family"] == "generative")]
    for model, seeds in runs.groupby("model", sort=False):
        trained = [study.train(dataset, model, seed) for seed in seeds["seed"]]
        since = [one["collapsed"] for one in trained if one.get("collapsed") is not None]
        said = [f"from epoch {epoch} on all its samples of a kind are alike" for epoch in since]
        if (share := shares.get(model, 1)) < 1:
            said.append(f"only {100 * share:.0f} % of the classes are among its samples")
        alarms += [f"{model}: {', and '.join(dict.fromkeys(said))}."] if said else []
        watched = watched or any(one.get("training_samples") for one in trained)
    if not watched and not alarms:
        return None
    remarks = [] if alarms else ["No: samples stay as diverse as images to the end, and every class is among them."]
    measure = "Distances between samples of a class beside those between train images, at the end of training; classes drawn"
    return Verdict("Has anything collapsed?", measure, [], remarks, alarms)


def p_text(p: float) -> str:
    """A p-value in words."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def lawful(found: pd.DataFrame) -> list[tuple[pd.Series, pd.DataFrame]]:
    """Of each metric and unit that the true law has a value in: the law's row, and a row for each model.

    Args:
        found: of `Study.summary`, of one data set and without the train split.
    """
    given = []
    for metric in LAWFUL:
        for _, rows in found[found["metric"] == metric].groupby("unit", sort=False):
            rows = one_each(rows[np.isfinite(rows["value"])])
            law, models = rows[rows["model"] == "oracle"], rows[rows["family"] != "reference"]
            if len(law) and len(models):
                given.append((law.iloc[0], models.sort_values("loss", kind="stable")))
    return given


def _possible(study: Study, found: pd.DataFrame) -> Verdict | None:
    if not (given := lawful(found)):
        return None
    winners, alarms = [], []
    for law, models in given:
        best, places = models.iloc[0], decimals([*models["value"], law["value"]])
        gap, error = advantage(study, law, best)
        name = metric_name(law["metric"]).lower()
        where = f"in {name} ({law['unit']}), {interval(gap - Z * error, gap + Z * error, places)}".rstrip(", ")
        winners.append((best["model"], best["family"], number(gap, places), where))
        for model in _impossible(study, law, models):
            alarms.append(f"{model} beats the true law in {name}: better than possible, something is wrong.")
    said = [] if alarms else ["No model is better than possible, beyond chance."]
    measure = "By how much the oracle, which knows the law of the data, is better than the best model, with its 95 % interval"
    return Verdict("How far from the best possible?", measure, winners, said, alarms)


def _impossible(study: Study, law: pd.Series, models: pd.DataFrame) -> list[str]:
    """The models that beat the law by more than chance allows, for as many models as there are."""
    p = []
    for _, row in models.iterrows():
        gap, error = advantage(study, law, row)
        # One-sided: half of the error function's tail.
        certain = 0.0 if gap < 0 else 1.0
        p.append(0.5 * math.erfc(-gap / error / math.sqrt(2)) if error > 0 else certain)
    # For one model alone this is 1.96 standard errors.
    return list(models["model"][holm(p) < LEVEL / 2])
