"""Evaluates one fitted model on the test split: scores, curves, galleries, and what pairs of models are compared by.

Which metrics a model gets follows from its capabilities and the graph of quantities (`pofxy.evaluation.quantity`). A metric that
gives a value per image is averaged; within a known range its interval follows Wilson's, without one it is from a bootstrap of the
images. Of any other metric the bootstrap gives the standard error, unless the metric returns it, or an interval of its own.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pofxy.evaluation.graph import Graph, as_array
from pofxy.evaluation.quantity import NotApplicable
from pofxy.evaluation.scores import measure_curves, measure_pca_baselines, measure_scores
from pofxy.storage import files
from pofxy.storage.image_grid import save_grid
from pofxy.study import catalog, columns
from pofxy.study.run import Run
from pofxy.workflow import cost

# Files of predictions/, each with the quantity that it holds.
PREDICTIONS = {"labels": "predict", "probabilities": "predict_proba", "latent_map": "latent_map"}


@dataclass(frozen=True)
class Outputs:
    """Where an evaluation goes: two tables, a folder of galleries, one of arrays, evaluate.json with its cost."""

    scores: str
    curves: str
    pictures: str
    predictions: str
    cost: str


def evaluate(graph: Graph, run: Run, outputs: Outputs, tracker) -> None:
    """Writes every score that the model's capabilities allow, its galleries and its speed.

    Args:
        graph: the quantities of the model.
        run: that is evaluated.
        outputs: written whole or not at all.
        tracker: is sent the scores and the galleries.
    """
    with cost.stopwatch() as took:
        measured = measure_scores(graph)
        points = measure_curves(graph)
        speed = _get(graph, "prediction_speed") or {}
        caption = save_galleries(graph, Path(outputs.pictures))
        save_predictions(graph, measured.per_image, Path(outputs.predictions))
        baselines = measure_pca_baselines(graph) if "encode" in run.capabilities else {}
    files.write_csv(outputs.scores, [run.columns | row for row in measured.rows], columns.SCORES)
    files.write_csv(outputs.curves, [run.columns | row for row in points], columns.CURVES)
    facts = {"evaluate_core_seconds": took["core_seconds"], "learned": caption, "baselines": baselines, "notes": notes(graph)}
    if prompts := _get(graph, "prompts"):
        facts["prompts"] = prompts
    facts["computed"] = sorted(graph.computed)  # the rest was kept by an earlier evaluation
    files.write_json(outputs.cost, speed | facts)
    tracker.metrics({f"{row['split']}/{row['metric']}": row["value"] for row in reversed(measured.rows)})
    tracker.metrics({f"cost/{name}": value for name, value in speed.items()})
    for picture in sorted(Path(outputs.pictures).glob("*.png")):
        tracker.artifact(picture, "pictures")


def save_galleries(graph: Graph, folder: Path) -> str:
    """Writes a PNG of each gallery that the model's capabilities allow; tables have none.

    Returns:
        The caption of what the model learned; "" where it does not say.
    """
    caption = ""
    with files.atomic(folder) as temporary:
        temporary.mkdir(parents=True)
        for name, entry in catalog.quantities().items():
            if entry.gallery and (gallery := _get(graph, name)):
                save_grid(temporary / f"{entry.gallery}.png", gallery.images, gallery.columns, gallery.height)
                caption = gallery.caption or caption
    return caption


def save_predictions(graph: Graph, per_image: dict[str, np.ndarray], folder: Path) -> None:
    """Writes what pairs of models are compared by, as far as the model gives it.

    labels.npy (N,), probabilities.npy (N, K) float32, latent_map.npy, the latents of the first test images in two dimensions, and
    per_image/{metric}.npy (N,) float32.
    """
    with files.atomic(folder) as temporary:
        (temporary / "per_image").mkdir(parents=True)
        for name, quantity in PREDICTIONS.items():
            if (value := _get(graph, quantity)) is not None:
                array = as_array(value)
                np.save(temporary / f"{name}.npy", array.astype(np.float32) if array.dtype.kind == "f" else array)
        for name, values in per_image.items():
            np.save(temporary / "per_image" / f"{name}.npy", values.astype(np.float32))


def notes(graph: Graph) -> list[str]:
    """What is known of single estimates alone: the number of random points, a normalizer with its interval and its check."""
    estimates = [*(_get(graph, "test_likelihoods") or []), *(_get(graph, "train_likelihoods") or [])]
    return sorted({estimate.note for estimate in estimates if estimate.note})


def _get(graph: Graph, name: str) -> Any:
    """A quantity; None where it cannot be had of this model or makes no sense for its data."""
    entry = catalog.quantities()[name]
    if catalog.why_not(entry.dependencies, graph.capabilities):
        return None
    try:
        return graph.get(name)
    except NotApplicable:
        return None
