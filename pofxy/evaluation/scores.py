"""Every score of a fitted model, each with its interval and its provenance, and every point of its curves."""

import importlib
import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch

from pofxy.base.prediction import sample_batched
from pofxy.base.seeding import seed_everything
from pofxy.base.tags import tags_of
from pofxy.evaluation import intervals
from pofxy.evaluation.graph import Graph, as_array, watched
from pofxy.evaluation.quantity import NotApplicable
from pofxy.study import catalog
from pofxy.study.catalog import Dependency, MetricEntry

# Units of curves whose values, one for each image, are shares themselves.
SHARES = ("accuracy", "share")


@dataclass(frozen=True)
class Scores:
    """What was measured.

    Attributes:
        rows: a row per score: metric, value, ci_low, ci_high, higher_is_better, unit, estimator, bound, split, n. Of several
            estimates of one likelihood, and of test and train, each has a row, the best known first.
        per_image: of metrics that are a mean over the test images, by name, their values, (N,): pairs of models are compared by
            them.
    """

    rows: list[dict]
    per_image: dict[str, np.ndarray]


@dataclass(frozen=True)
class _Measurement:
    """The arguments of a metric, and the provenance of what it makes of them.

    `common_error` is the standard error, in the unit of the likelihood, that all of its values share.
    """

    arguments: dict
    estimator: str
    bound: bool | None = None
    split: str = "test"
    common_error: float = 0.0


def measure_scores(graph: Graph, metrics: Collection[str] | None = None) -> Scores:
    """Every score that the model's capabilities allow, or those of some metrics alone, by name.

    Raises:
        ValueError: where a metric's value is not finite; the message names it.
    """
    found = Scores([], {})
    redrawn = cache(lambda: redraws(graph))
    for name, missing in catalog.evaluations(graph.capabilities).items():
        if missing or (metrics is not None and name not in metrics):
            continue
        entry = catalog.metrics()[name]
        rows, per_image = _kept(graph, entry, lambda entry=entry: _measure(graph, entry, redrawn))
        found.rows.extend(rows)
        if per_image is not None:
            found.per_image[name] = per_image
    return found


def measure_curves(graph: Graph) -> list[dict]:
    """A row for each point of each curve that the model's capabilities allow: the mean there, with the columns of curves.csv."""
    rows = []
    for name, entry in catalog.quantities().items():
        if not entry.curve or catalog.why_not(entry.dependencies, graph.capabilities):
            continue
        try:
            result = graph.get(name)
        except NotApplicable:
            continue
        for c, condition in enumerate(result.conditions):
            for p, place in enumerate(result.places):
                values = result.values[:, c, p].numpy()
                low, high = _curve_interval(values, entry.unit)
                point = {"curve": entry.curve, "condition": condition, "at": place, "draw": 0, "unit": entry.unit}
                value = {"value": float(values.mean()), "ci_low": low, "ci_high": high}
                rows.append(point | value | {"estimator": "", "split": "test", "n": len(values)})
    return rows


def _curve_interval(values: np.ndarray, unit: str) -> tuple[float, float]:
    """The interval of a point of a curve from its values (N,): an AUROC, a share, or a mean without known bounds."""
    if unit == "AUROC":
        return intervals.of_placements(values[:, None])
    if values.dtype == bool or unit in SHARES:
        return intervals.of_bounded(float(values.mean()), values.var() / len(values), len(values))
    return intervals.of_mean(values)


def measure_pca_baselines(graph: Graph) -> dict[str, float]:
    """The metrics that are made of the latents alone, for principal components of as many dimensions."""
    pca = graph.replacing(
        "pca", {"latents": lambda: torch.from_numpy(graph.get("pca_latents"))}, {"latents": graph.key("pca_latents")}
    )
    entries = [entry for entry in catalog.metrics().values() if catalog.made_of(entry.dependencies, "latents")]
    return {
        entry.name: _kept(pca, entry, lambda entry=entry: _value(metric_function(entry), _arguments(pca, entry)))
        for entry in entries
    }


def redraws(graph: Graph) -> list[Graph]:
    """Graphs of the same model with further sets of samples, as many as its tag `n_redraws` says."""
    model, samples = graph.get("model"), graph.get("samples")
    if samples is None:
        return []
    labels = graph.get("requested_labels") if tags_of(model).conditional else None
    requested = labels if labels is not None else torch.full((len(samples),), -1)
    found = []
    for draw in range(tags_of(model).n_redraws):

        def sample(draw: int = draw) -> torch.Tensor:
            seed_everything(graph.get("seed") + 1 + draw)
            return sample_batched(model, len(samples), labels)

        openers = {"samples": sample, "requested_labels": lambda: requested}
        base = graph.key("samples")
        keys = {name: f"{graph.key(name)} redraw {draw}" if base else "" for name in openers}
        found.append(graph.replacing(f"redraw{draw}", openers, keys))
    return found


def metric_function(entry: MetricEntry) -> Callable:
    """The function of a metric's file."""
    return getattr(importlib.import_module(f"pofxy.evaluation.metrics.{entry.name}"), entry.public)


def _kept(graph: Graph, entry: MetricEntry, compute: Callable) -> Any:
    """What an earlier evaluation kept of a metric on this graph, or what is computed now."""
    name = f"metric-{entry.name}{graph.label}"
    key = graph.key_of(_path(entry), (*entry.dependencies, Dependency("seed")))
    known, value = graph.kept.load(name, key)
    if not known:
        graph.computed.append(f"metric {entry.name}")
        with watched(f"the metric {entry.name}"):
            value = compute()
        graph.kept.save(name, key, value)
    return value


def _measure(graph: Graph, entry: MetricEntry, redrawn: Callable[[], list[Graph]]) -> tuple[list[dict], np.ndarray | None]:
    """The rows of one metric, and its values per test image where it is a mean over them.

    `redrawn` gives the same model with further sets of samples; it is called for metrics of samples alone.
    """
    if entry.images_only and len(graph.get("spec").shape) != 3:
        return [], None
    try:
        measurements = list(_measurements(graph, entry))
    except NotApplicable:
        return [], None
    metric = metric_function(entry)
    if any(intervals.fewest_rows(measurement.arguments) < _fewest_rows(metric) for measurement in measurements):
        return [], None
    rows_of = {dependency.name: _rows(dependency.name) for dependency in entry.dependencies}
    rows, per_image = [], None
    for measurement in measurements:
        value, low, high, values = intervals.measure(metric, measurement.arguments, rows_of, entry.lowest, entry.highest)
        estimator = measurement.estimator
        if measurement.common_error:
            low, high = _widened(metric, measurement, value, low, high)
        further = redrawn() if _is_redrawn(entry) else []
        if further:
            several = np.array([_value(metric, _arguments(redraw, entry)) for redraw in further])
            # The redraws share their test images: what other ones would change is in the interval of a single draw.
            below = value - low
            above = high - value
            low, high = intervals.spread(several)
            value = float(several.mean())
            low = min(low, value - below)
            high = max(high, value + above)
            estimator += f", {len(further)} draws"
        if not math.isfinite(value):
            raise ValueError(f"metric {entry.name} is {value}")
        rows.append(
            {
                "metric": entry.name,
                "value": value,
                "ci_low": low if entry.lowest is None else max(low, entry.lowest),
                "ci_high": high if entry.highest is None else min(high, entry.highest),
                "higher_is_better": entry.higher_is_better,
                "unit": entry.unit,
                "estimator": estimator,
                "bound": "" if measurement.bound is None else measurement.bound,
                "split": measurement.split,
                "n": intervals.fewest_rows(measurement.arguments) if values is None else len(values),
            }
        )
        is_of_test = measurement.split == "test" and set(rows_of.values()) == {"test"}
        if per_image is None and values is not None and is_of_test and not measurement.common_error:
            per_image = values if len(values) == len(graph.get("x")) else None
    return rows, per_image


def _measurements(graph: Graph, entry: MetricEntry) -> Iterator[_Measurement]:
    """The metric's arguments: once, or once for each estimate of a likelihood that is among them."""
    arguments = _arguments(graph, entry)
    likelihood = next((name for name, argument in arguments.items() if isinstance(argument, dict)), None)
    if likelihood is None:
        names = {text for name in arguments if (text := graph.provenance(name))}
        yield _Measurement(arguments, ", ".join(sorted(names)))
        return
    for split, estimates in arguments[likelihood].items():
        for estimate in estimates:
            own = arguments | {likelihood: estimate.values.numpy()}
            yield _Measurement(own, estimate.estimator, estimate.bound, split, estimate.common_error)


def _arguments(graph: Graph, entry: MetricEntry) -> dict:
    return {name: as_array(value) for name, value in graph.arguments(entry.dependencies).items()}


def _value(metric: Callable, arguments: dict) -> float:
    result = metric(**arguments)
    return float(np.mean(result[0] if isinstance(result, tuple) else result))


def _fewest_rows(metric: Callable) -> int:
    """The rows that a metric needs of each of its arguments, `FEWEST_ROWS` of its file, 1 where it states none."""
    return getattr(importlib.import_module(metric.__module__), "FEWEST_ROWS", 1)


def _rows(name: str) -> str:
    """What the first axis of an argument counts: facts that metrics name are of the test split."""
    entry = catalog.quantities().get(name)
    return entry.rows or "test" if entry else "test"


def _is_redrawn(entry: MetricEntry) -> bool:
    """Whether a metric is computed anew for each further set of samples."""
    known = catalog.quantities()
    return not entry.trains and any(known[name.name].redrawn for name in entry.dependencies if name.name in known)


def _path(entry: MetricEntry) -> str:
    return str(entry.path.relative_to(catalog.PACKAGE))


def _widened(metric: Callable, measurement: _Measurement, value: float, low: float, high: float) -> tuple[float, float]:
    """The interval with the error that all values share, as of a normalizer: independent of that of the images."""
    first, *_ = measurement.arguments
    shifted = metric(**measurement.arguments | {first: measurement.arguments[first] + measurement.common_error})
    shared = intervals.Z95 * abs(float(np.mean(shifted)) - value)
    return value - math.hypot(value - low, shared), value + math.hypot(high - value, shared)
