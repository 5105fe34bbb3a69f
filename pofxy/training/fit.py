"""Fits one model and writes the model, its history, its cost and its training samples; MLflow gets the same."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pofxy.base.data import TrainingData, check_data
from pofxy.base.hyperparameters import default_hyperparameters
from pofxy.base.seeding import seed_everything
from pofxy.storage import files
from pofxy.storage.models import load_model, model_class, new_model, save_model
from pofxy.study.run import Run
from pofxy.tracking import Tracker
from pofxy.training.sample_monitor import SampleMonitor, collapsed_since
from pofxy.training.trainer import Trainer
from pofxy.workflow import cost, job


@dataclass(frozen=True)
class Outputs:
    """Where a fit is written.

    Attributes:
        model: folder of the model.
        history: CSV with a row for each epoch.
        cost: JSON with the cost of the fit, its provenance and its settings.
        training_samples: folder of samples drawn during training.
    """

    model: str
    history: str
    cost: str
    training_samples: str


def fit(
    run: Run,
    hyperparameters: dict,
    data: TrainingData,
    outputs: Outputs,
    code: str,
    time_limit: float,
    origin: dict,
    tracker: Tracker,
    fitted: Sequence[str] = (),
) -> None:
    """Fits a model and saves it.

    Args:
        run: the model, the data set and the seed.
        hyperparameters: deviations from the defaults of the model's `__init__`.
        data: train and val split.
        outputs: each is written whole or not at all.
        code: fingerprint of the code that the fit depends on; a checkpoint of other code is not resumed.
        time_limit: seconds that the fit may take; one that is ended goes on from its checkpoint when it is tried again.
        origin: provenance, as `workflow.provenance.provenance` gives it.
        tracker: gets the hyperparameters at once and the training curves during the fit.
        fitted: of a calibrated model, folder and train.json of the same model without calibration, which then is not fitted
            again; empty where there is none.

    Raises:
        ValueError: where the model cannot be fitted to the data; the message names the data set and the cause.
        Diverged: where a loss is no longer finite.
        TimeLimitExceeded: after `time_limit`.
    """
    kind = model_class(run.family, run.of)
    settings = default_hyperparameters(kind) | hyperparameters | ({"calibrate": run.calibrate} if run.calibrate else {})
    tracker.open(settings, run.columns | {"commit": origin["commit"], "config_hash": origin["config_hash"]})
    tracker.flush()

    checkpoint = Path(outputs.model).parent / "checkpoint.safetensors"
    sample_monitor = SampleMonitor()
    trainer = Trainer(
        sample_monitor=None if run.calibrate else sample_monitor,  # a calibrated model only classifies
        checkpoint=checkpoint,
        fingerprint=fingerprint(run, hyperparameters, data, code),
        on_epoch=lambda epoch, metrics: tracker.metrics({f"epoch/{name}": value for name, value in metrics.items()}, step=epoch),
        log=lambda line: job.progress(f"{run.key}: {line}"),
    )
    check_data(data)
    seed_everything(run.seed)
    model = new_model(run.family, run.of, hyperparameters, run.calibrate)
    earlier = {"fit_seconds": 0.0, "fit_core_seconds": 0.0}
    if fitted:
        folder, costs_of_fit = fitted
        earlier = files.read_json(costs_of_fit)
        model.model = load_model(folder)
    with cost.stopwatch() as took, job.time_limit(time_limit):
        if fitted:
            model.calibrate(data)
        else:
            model.fit(data, trainer)
    # The history of a resumed training includes the time of the earlier attempts.
    seconds = max(took["seconds"], trainer.history[-1]["seconds"] if trainer.history else 0)

    if isinstance(model, torch.nn.Module):
        model.cpu()
    save_model(outputs.model, model, run.family, run.of, hyperparameters, data.spec, run.calibrate)
    # One row per epoch; a model that is not trained in epochs has none.
    columns = list(dict.fromkeys(name for row in trainer.history for name in row)) or ["epoch"]
    files.write_csv(outputs.history, trainer.history, columns)
    save_training_samples(sample_monitor, Path(outputs.training_samples))
    costs = {
        "parameters": cost.count_parameters(model),
        "fit_seconds": earlier["fit_seconds"] + seconds,
        "fit_core_seconds": earlier["fit_core_seconds"] + took["core_seconds"],
        "peak_mb": cost.peak_megabytes(),
        "model_bytes": cost.folder_bytes(outputs.model),
    }
    samples = {
        "training_samples": [epoch for epoch, _ in sample_monitor.shown],
        "collapsed": collapsed_since(trainer.history),
    }
    # Part of fit_core_seconds that another job spent: of a calibrated model, on the same model without calibration.
    reused = {"reused_core_seconds": earlier["fit_core_seconds"]}
    files.write_json(outputs.cost, costs | reused | samples | {"provenance": origin, "settings": settings})
    checkpoint.unlink(missing_ok=True)
    tracker.metrics({f"cost/{name}": value for name, value in costs.items()})
    tracker.model(outputs.model)
    tracker.finish()
    tracker.flush()


def save_training_samples(sample_monitor: SampleMonitor, folder: Path) -> None:
    """Writes samples.npy (epochs, n, C, H, W) uint8 into a new folder, which stays empty for a model without samples."""
    with files.atomic(folder) as temporary:
        temporary.mkdir(parents=True)
        if sample_monitor.taken:
            np.save(temporary / "samples.npy", torch.stack([images for _, images in sample_monitor.shown]).numpy())


def fingerprint(run: Run, hyperparameters: dict, data: TrainingData, code: str) -> str:
    """A digest of all that a training is made of: the run, its hyperparameters, the code, the facts and labels of the data."""
    digest = hashlib.sha256(repr((run, sorted(hyperparameters.items()), data.spec, len(data.x), code)).encode())
    digest.update(data.y.numpy().tobytes())
    return digest.hexdigest()
