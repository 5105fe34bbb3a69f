"""The learning curve of one model: its test accuracy as a function of the number of train images per class.

The subsets are nested (the images of a size are among those of the next size), sampled anew for each draw, and the same for every
model, so curves are compared draw by draw. A fit uses no label beyond its subset: a model that selects something on the val split
gets the subset as its val split, too.

A model whose net is evaluated many times for one image is scored on the first test images alone (`pofxy.base.passes`); column n
of the curve says how many.

Reference: A. Y. Ng, M. I. Jordan, "On discriminative vs. generative classifiers: a comparison of logistic regression and naive
Bayes", NIPS 2001, where such curves show two regimes.
"""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.hyperparameters import default_hyperparameters
from pofxy.base.passes import n_likelihood_images, prediction_passes
from pofxy.base.prediction import predict_batched
from pofxy.base.seeding import seed_everything
from pofxy.storage import files
from pofxy.storage.models import model_class, new_model
from pofxy.study import columns
from pofxy.study.run import Run
from pofxy.tracking import Tracker
from pofxy.training.trainer import Trainer
from pofxy.workflow import cost, job

logger = logging.getLogger("pofxy")

# Shortest time between two lines on the terminal; the log gets a line for each fit.
SECONDS_BETWEEN_LINES = 30


@dataclass(frozen=True)
class Outputs:
    """Where a learning curve is written.

    Attributes:
        curve: CSV with a row for each subset.
        cost: JSON with the cost, and the subsets that the model refused.
    """

    curve: str
    cost: str


@dataclass(frozen=True)
class Subsets:
    """Which subsets of the train split a model is fitted to.

    Attributes:
        sizes: numbers of images per class; sizes that some class does not have are left out.
        draws: number of subsets of each size.
        steps: steps of a fit of a model that is trained in steps, never more than in its own fit; None for any other model.
        passes: passes over the subset, where these are more steps.
    """

    sizes: tuple[int, ...]
    draws: int
    steps: int | None = None
    passes: int = 20

    def sample(self, y: Tensor, classes: int) -> Iterator[tuple[int, int, Tensor]]:
        """The subsets, balanced over the classes.

        Args:
            y: labels (N,) in 0..K-1.
            classes: K.

        Yields:
            (draw, size, indices (size K,)); the indices of a size begin with those of the next smaller one.
        """
        smallest_class = int(torch.bincount(y, minlength=classes).min())
        for draw in range(self.draws):
            generator = torch.Generator().manual_seed(draw)
            order = torch.randperm(len(y), generator=generator)
            indices_of_class = [order[y[order] == k] for k in range(classes)]
            for size in sorted(size for size in self.sizes if size <= smallest_class):
                yield draw, size, torch.stack([indices[:size] for indices in indices_of_class], 1).flatten()  # (size, K)

    def limit_steps(self, settings: dict, n: int) -> dict:
        """The hyperparameters of a fit to n images: for a model that is trained in steps, with fewer steps."""
        if self.steps is None:
            return settings
        steps_of_passes = self.passes * n // min(settings["batch"], n)
        return settings | {"steps": min(settings["steps"], max(self.steps, steps_of_passes))}


def learn(
    run: Run,
    hyperparameters: dict,
    spec: DataSpec,
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    subsets: Subsets,
    time_limit: float,
    outputs: Outputs,
    tracker: Tracker,
) -> None:
    """Fits a model to each subset and writes a row of columns.CURVES for each fit.

    Args:
        run: the model and the data set.
        hyperparameters: deviations from the defaults of the model's `__init__`.
        spec: facts of the data set.
        train, test: (x, y) of each split.
        subsets: what the model is fitted to.
        time_limit: seconds for all fits together.
        outputs: each is written whole or not at all.
        tracker: gets the mean accuracy at each size.

    Raises:
        ValueError: where the model cannot be fitted to any of the subsets. A subset that the model refuses, e.g. because it is
            too small, has no row, and the log says why.
        TimeLimitExceeded: after `time_limit`.
    """
    kind = model_class(run.family, run.of)
    settings = default_hyperparameters(kind) | hyperparameters
    x, y = train
    refused: list[str] = []
    rows: list[dict] = []
    chosen = list(subsets.sample(y, spec.classes))
    started = last_line = time.monotonic()
    with cost.stopwatch() as took, job.time_limit(time_limit):
        for done, (draw, size, index) in enumerate(chosen):
            now = time.monotonic()
            if now - last_line >= SECONDS_BETWEEN_LINES:
                last_line = now
                job.progress(f"{run.key}: learning curve, {done} of {len(chosen)} fits, {now - started:.0f} s gone")
            x_subset = x[index]
            y_subset = y[index]
            # Train and val split are the same objects: by this, `validation_splits` knows that there is no val split.
            data = TrainingData(spec, x_subset, y_subset, x_subset, y_subset)
            seed_everything(draw)
            model = new_model(run.family, run.of, subsets.limit_steps(settings, len(index)), run.calibrate)
            try:
                model.fit(data, Trainer())
            except ValueError as error:
                refused.append(f"{size} images per class: {error}")
                logger.warning("draw %d, %s", draw, refused[-1])
                continue
            n = n_likelihood_images(prediction_passes(model, spec))
            rows.append(score_fit(model, test[0][:n], test[1][:n], size, draw))
            logger.info("%d images per class, draw %d: accuracy %.4f", size, draw, rows[-1]["value"])
    if refused and not rows:
        raise ValueError(f"no subset could be learned from; {refused[0]}")
    files.write_csv(outputs.curve, [run.columns | row for row in rows], columns.CURVES)
    files.write_json(outputs.cost, {"learn_core_seconds": took["core_seconds"], "refused": refused})
    for size in dict.fromkeys(row["at"] for row in rows):
        values = [row["value"] for row in rows if row["at"] == size]
        tracker.metrics({"learning/accuracy": sum(values) / len(values)}, step=size)


def score_fit(model, x: Tensor, y: Tensor, size: int, draw: int) -> dict:
    """The columns of one fit.

    Args:
        model: fitted to a subset.
        x, y: images of the test split.
        size: number of images per class of the subset.
        draw: number of the subset among those of its size.
    """
    return {
        "curve": "learning_curve",
        "condition": "",
        "at": size,
        "draw": draw,
        "value": float((predict_batched(model, "predict", x) == y).double().mean()),
        "ci_low": None,
        "ci_high": None,
        "unit": "accuracy",
        "estimator": "",
        "split": "test",
        "n": len(y),
    }
