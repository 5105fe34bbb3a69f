"""The learning curve of one model: its accuracy after ever more images per class.

The subsets are nested (the images of a size are among those of the next), drawn anew for each draw, and the same for every
model, so curves are compared draw by draw. A fit sees no label beyond its subset: a model that chooses its moment by val
chooses it by the subset. (A. Y. Ng, M. I. Jordan, "On discriminative vs. generative classifiers", NIPS 2001, is where such
curves show two regimes.)
"""

import logging
from dataclasses import dataclass

import torch
from torch import Tensor

from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.hyperparameters import build_model, default_hyperparameters
from pofxy.base.prediction import predict_batched
from pofxy.base.seeding import seed_everything
from pofxy.storage import files
from pofxy.storage.models import model_class
from pofxy.study import columns
from pofxy.study.run import Run
from pofxy.training.trainer import Trainer
from pofxy.workflow import cost, job

logger = logging.getLogger("pofxy")


@dataclass(frozen=True)
class Outputs:
    """Where a learning curve goes: curve.csv, and learn.json with its cost and what was refused."""

    curve: str
    cost: str


@dataclass(frozen=True)
class Subsets:
    """Which subsets of the train split are learned from.

    Attributes:
        sizes: images per class; those that some class does not have are left out.
        draws: subsets of each size.
        steps: that a model trained in steps takes on each, but never more than in its own fit; None for any other model.
        passes: over the subset, where these are more steps.
    """

    sizes: tuple[int, ...]
    draws: int
    steps: int | None = None
    passes: int = 20

    def draw(self, y: Tensor, classes: int):
        """Yields (draw, size, indices (size K,)) for labels y (N,); those of a size begin with those of the next smaller one."""
        fewest = int(torch.bincount(y, minlength=classes).min())
        for draw in range(self.draws):
            generator = torch.Generator().manual_seed(draw)
            order = torch.randperm(len(y), generator=generator)
            of_class = [order[y[order] == k] for k in range(classes)]
            for size in sorted(size for size in self.sizes if size <= fewest):
                yield draw, size, torch.stack([index[:size] for index in of_class], 1).flatten()

    def limited(self, settings: dict, n: int) -> dict:
        """The settings of a fit to n images, of a model trained in steps with its steps."""
        if self.steps is None:
            return settings
        passes = self.passes * n // min(settings["batch"], n)
        return settings | {"steps": min(settings["steps"], max(self.steps, passes))}


def learn(
    run: Run,
    hyperparameters: dict,
    spec: DataSpec,
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    subsets: Subsets,
    time_limit: float,
    outputs: Outputs,
    tracker,
) -> None:
    """Writes a row of columns.CURVES for each subset.

    Args:
        run: whose curve this is.
        hyperparameters: deviations from the defaults of the model's `__init__`.
        spec: of the data set.
        train, test: (x, y) of each split.
        subsets: to be learned from.
        time_limit: seconds for all fits together.
        outputs: written whole or not at all.
        tracker: hears of the mean accuracy at each size.

    Raises:
        ValueError: where the model can be fitted to none of the subsets. One that it refuses, as too small perhaps, has no row,
            and the log says why.
    """
    kind = model_class(run.family, run.of)
    settings = default_hyperparameters(kind) | hyperparameters
    (x, y), refused, rows = train, [], []
    with cost.stopwatch() as took, job.time_limit(time_limit):
        for draw, size, index in subsets.draw(y, spec.classes):
            part = x[index], y[index]
            seed_everything(draw)
            model = build_model(kind, subsets.limited(settings, len(index)))
            try:
                model.fit(TrainingData(spec, *part, *part), Trainer())
            except ValueError as error:
                refused.append(f"{size} images per class: {error}")
                logger.warning("draw %d, %s", draw, refused[-1])
                continue
            rows.append(_row(model, test, size, draw))
            logger.info("%d images per class, draw %d: accuracy %.4f", size, draw, rows[-1]["value"])
    if refused and not rows:
        raise ValueError(f"no subset could be learned from; {refused[0]}")
    whose = {"dataset": run.dataset, "model": run.model, "family": run.family, "seed": run.seed}
    files.write_csv(outputs.curve, [whose | row for row in rows], columns.CURVES)
    files.write_json(outputs.cost, {"learn_core_seconds": took["core_seconds"], "refused": refused})
    for size in dict.fromkeys(row["at"] for row in rows):
        values = [row["value"] for row in rows if row["at"] == size]
        tracker.metrics({"learning/accuracy": sum(values) / len(values)}, step=size)


def _row(model, test, size: int, draw: int) -> dict:
    x, y = test
    accuracy = float((predict_batched(model, "predict", x) == y).double().mean())
    place = {"curve": "learning_curve", "condition": "", "at": size, "draw": draw, "value": accuracy}
    return place | {"ci_low": None, "ci_high": None, "unit": "accuracy", "estimator": "", "split": "test", "n": len(y)}
