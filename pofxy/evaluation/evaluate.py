"""Which metrics a model gets, and each value with its interval and its passport.

A metric is a pure function of what its parameters name (`evidence.EvaluationContext` has it); a model without the verb for it does not get
the metric. One that gives a value per image is averaged, and its interval comes from a bootstrap of the images; of any other the
bootstrap gives the standard error, unless it knows that itself.
"""

import importlib
import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pofxy.base.seeding import seed_everything
from pofxy.base.tags import tags_of
from pofxy.evaluation import galleries, intervals, likelihood
from pofxy.evaluation.context import EvaluationContext
from pofxy.storage import files
from pofxy.study import catalog, columns
from pofxy.study.run import Run
from pofxy.workflow import cost

# What a metric asks for that is asked of every set of samples where a reference draws several.
OF_EACH_DRAW = {
    "sample_features",
    "sample_probabilities",
    "sample_labels",
    "sample_test_balls",
    "test_sample_balls",
    "test_own_ball",
}
# Scores of codes that principal components are given, too.
CODE_SCORES = ("latent_nmi", "latent_ari", "latent_trustworthiness")


@dataclass(frozen=True)
class Outputs:
    """Where an evaluation goes: two tables, a folder of pictures, one of arrays, evaluate.json with its cost."""

    scores: str
    curves: str
    pictures: str
    predictions: str
    cost: str


@dataclass(frozen=True)
class Asked:
    """What a metric is given, and the passport of what it makes of it.

    `common_error` is the standard error, in the unit of the first argument, that all of its values share.
    """

    arguments: dict
    estimator: str
    split: str = "test"
    common_error: float = 0.0


def evaluate(evidence: EvaluationContext, run: Run, outputs: Outputs, tracker) -> None:
    """Writes every score that the model's capabilities allow, its pictures and its speed.

    Args:
        evidence: the model and what it is judged by.
        run: whose scores these are.
        outputs: written whole or not at all.
        tracker: hears of the scores and the pictures.
    """
    whose = {"dataset": run.dataset, "model": run.model, "family": run.family, "seed": run.seed}
    with cost.stopwatch() as took:
        rows, per_image = scores(evidence, run.capabilities)
        points = curves(evidence, run.capabilities)
        speed = cost.milliseconds_to_predict(evidence.model, evidence.images) if "predict" in run.capabilities else {}
        learned = galleries.draw(evidence, Path(outputs.pictures))
        keep(evidence, run.capabilities, per_image, Path(outputs.predictions))
        baselines = code_baselines(evidence) if "encode" in run.capabilities else {}
    files.write_csv(outputs.scores, [whose | row for row in rows], columns.SCORES)
    files.write_csv(outputs.curves, [whose | row for row in points], columns.CURVES)
    more = {"evaluate_core_seconds": took["core_seconds"], "learned": learned, "baselines": baselines, "notes": evidence.notes}
    if "sample_text" in run.capabilities:
        more |= {"prompts": galleries.prompts(evidence.model, evidence.spec.classes)}
    files.write_json(outputs.cost, speed | more)
    tracker.metrics({f"{row['split']}/{row['metric']}": row["value"] for row in reversed(rows)})
    tracker.metrics({f"cost/{name}": value for name, value in speed.items()})
    for picture in sorted(Path(outputs.pictures).glob("*.png")):
        tracker.artifact(picture, "pictures")


def scores(
    evidence: EvaluationContext, capabilities: tuple[str, ...], metrics: Collection[str] | None = None
) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Every score that the capabilities allow, or those of some metrics alone, by name.

    Returns:
        A row per score: metric, value, ci_low, ci_high, higher_is_better, unit, estimator, split, n. Of several estimates of one
        likelihood, and of test and train, each has a row, the best known first.
        For metrics that are a mean over the test images, by name, their values, (N,): pairs of models are compared by them.

    Raises:
        ValueError: where a metric's value is not finite; the message names it.
    """
    rows, per_image = [], {}
    several = list(_draws(evidence)) if "sample" in capabilities else []
    for name, missing in catalog.evaluations(capabilities).items():
        entry = catalog.metrics()[name]
        if missing or (metrics is not None and name not in metrics) or not suits(evidence, entry):
            continue
        metric = public(entry)
        for asked in _asked(evidence, entry):
            value, low, high, values = intervals.measure(metric, asked.arguments)
            lengths = {len(argument) for argument in asked.arguments.values() if isinstance(argument, np.ndarray)}
            passport = asked.estimator
            if asked.common_error:
                low, high = _widened(metric, asked, value, low, high)
            if several and set(entry.parameters) & OF_EACH_DRAW and not entry.constants.get("TRAINS"):
                found = np.array([_value(metric, _arguments(draw, entry)) for draw in several])
                # The draws share their test images: what other ones would change is in the interval of a single draw.
                half, (low, high) = (high - low) / 2, intervals.spread(found)
                value = float(found.mean())
                low, high = min(low, value - half), max(high, value + half)
                passport += f", {len(several)} draws"
            if not math.isfinite(value):
                raise ValueError(f"metric {name} is {value}")
            known = entry.constants
            rows.append(
                {
                    "metric": name,
                    "value": value,
                    "ci_low": max(low, known.get("LOWEST", -math.inf)),
                    "ci_high": min(high, known.get("HIGHEST", math.inf)),
                    "higher_is_better": known["HIGHER_IS_BETTER"],
                    "unit": known["UNIT"],
                    "estimator": passport,
                    "split": asked.split,
                    "n": min(lengths),
                }
            )
            of_test = values is not None and asked.split == "test" and len(values) == len(evidence.images)
            if of_test and not asked.common_error and not any(parameter.startswith("sample_") for parameter in entry.parameters):
                per_image.setdefault(name, values)
    return rows, per_image


def suits(evidence: EvaluationContext, entry: catalog.Entry) -> bool:
    """Whether a metric makes sense for this model and data set: a table has no sharpness."""
    if entry.constants.get("IMAGES_ONLY") and len(evidence.spec.shape) != 3:
        return False
    return all(evidence.suits(parameter) for parameter in entry.parameters)


def public(entry: catalog.Entry) -> Callable:
    """The function of a metric's file."""
    return getattr(importlib.import_module(f"pofxy.evaluation.metrics.{entry.name}"), entry.public)


def curves(evidence: EvaluationContext, capabilities: tuple[str, ...]) -> list[dict]:
    """A row for each place of each curve that the capabilities allow: the mean there, as columns.CURVE names it."""
    rows = []
    for name, entry in catalog.probes().items():
        if not set(entry.constants["NEEDS"]) & set(capabilities) or not evidence.suits(name):
            continue
        found = evidence.probe(name)
        for c, condition in enumerate(found.conditions):
            for p, place in enumerate(found.places):
                values = found.values[:, c, p].numpy()
                share = values.dtype == bool
                low, high = intervals.wilson(int(values.sum()), len(values)) if share else intervals.of_mean(values)
                place = {"curve": entry.constants["CURVE"], "condition": condition, "at": place, "draw": 0}
                value = {"value": float(values.mean()), "ci_low": low, "ci_high": high, "unit": entry.constants["UNIT"]}
                rows.append(place | value | {"estimator": "", "split": "test", "n": len(values)})
    return rows


def keep(evidence: EvaluationContext, capabilities: tuple[str, ...], per_image: dict[str, np.ndarray], folder: Path) -> None:
    """Writes what pairs of models are compared by, as far as the model gives it.

    labels.npy (N,), probabilities.npy (N, K) float32, per_image/{metric}.npy (N,) float32, and codes_map.npy, the codes of the
    first test images in two dimensions.
    """
    with files.atomic(folder) as temporary:
        (temporary / "per_image").mkdir(parents=True)
        if "predict" in capabilities:
            np.save(temporary / "labels.npy", evidence.get("predict"))
        if "predict_proba" in capabilities:
            np.save(temporary / "probabilities.npy", evidence.get("predict_proba").astype(np.float32))
        if "encode" in capabilities:
            np.save(temporary / "codes_map.npy", evidence.get("code_map"))
        for name, values in per_image.items():
            np.save(temporary / "per_image" / f"{name}.npy", values.astype(np.float32))


def code_baselines(evidence: EvaluationContext) -> dict[str, float]:
    """The scores of codes, for principal components of as many dimensions."""
    entries = catalog.metrics()
    return {name: _value(public(entries[name]), _arguments(evidence.pca, entries[name])) for name in CODE_SCORES}


def _asked(evidence: EvaluationContext, entry: catalog.Entry) -> Iterator[Asked]:
    kind = next((parameter for parameter in entry.parameters if parameter in likelihood.KINDS), None)
    if kind is None:
        names = sorted({text for parameter in entry.parameters if (text := evidence.estimator(parameter))})
        yield Asked(_arguments(evidence, entry), ", ".join(names))
        return
    others = {parameter: evidence.get(parameter) for parameter in entry.parameters if parameter != kind}
    for split in ("test", "train"):
        for estimate in evidence.estimates(kind, split):
            yield Asked({kind: estimate.values.numpy()} | others, estimate.estimator, split, estimate.common_error)


def _arguments(evidence: EvaluationContext, entry: catalog.Entry) -> dict:
    return {parameter: evidence.get(parameter) for parameter in entry.parameters}


def _value(metric: Callable, arguments: dict) -> float:
    found = metric(**arguments)
    return float(found[0] if isinstance(found, tuple) else np.mean(found))


def _draws(evidence: EvaluationContext) -> Iterator[EvaluationContext]:
    """Other samples of a reference whose floor is a distribution: as many sets as it asks for in `redraws`."""
    labels = evidence.asked if tags_of(evidence.model).conditional else None
    for draw in range(tags_of(evidence.model).n_redraws):
        seed_everything(evidence.seed + 1 + draw)
        yield evidence.redrawn(labels)


def _widened(metric: Callable, asked: Asked, value: float, low: float, high: float) -> tuple[float, float]:
    """The interval with the error that all values share, as of a normaliser: independent of that of the images."""
    first, *_ = asked.arguments
    shifted = metric(**asked.arguments | {first: asked.arguments[first] + asked.common_error})
    shared = 1.96 * abs(float(np.mean(shifted)) - value)
    return value - math.hypot(value - low, shared), value + math.hypot(high - value, shared)
