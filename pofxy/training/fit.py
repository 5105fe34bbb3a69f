"""Fits one model and writes all that is known of the fit: the model, its history, its cost, and the same for MLflow."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pofxy.base.data import TrainingData, check_data
from pofxy.base.hyperparameters import build_model, default_hyperparameters
from pofxy.base.seeding import seed_everything
from pofxy.storage import files
from pofxy.storage.models import model_class, save_model
from pofxy.study.run import Run
from pofxy.training.sample_monitor import SampleMonitor, collapsed_since
from pofxy.training.trainer import Trainer
from pofxy.workflow import cost, job


@dataclass(frozen=True)
class Outputs:
    """Where a fit goes: the model's folder, history.csv, train.json with its cost and origin, a folder for samples on the way."""

    model: str
    history: str
    cost: str
    snapshots: str


def fit(
    run: Run,
    hyperparameters: dict,
    data: TrainingData,
    outputs: Outputs,
    code: str,
    time_limit: float,
    origin: dict,
    tracker,
) -> None:
    """Fits and saves.

    Args:
        run: what to fit, on what, with which seed.
        hyperparameters: deviations from the defaults of the model's `__init__`.
        data: train and val split.
        outputs: written whole or not at all.
        sources: the files that the fit is made of; a checkpoint of other ones is not resumed.
        time_limit: seconds that the fit may take; one that was ended goes on from its checkpoint when it is tried again.
        origin: as provenance() gives it.
        tracker: hears of the parameters at once and of the curves on the way.
    """
    kind = model_class(run.family, run.of)
    settings = default_hyperparameters(kind) | hyperparameters
    tags = {"family": run.family, "dataset": run.dataset, "model": run.model, "seed": run.seed}
    tracker.open(settings, tags | {"commit": origin["commit"], "config_hash": origin["config_hash"]})
    tracker.flush()

    folder = Path(outputs.model).parent
    snapshots = SampleMonitor()
    trainer = Trainer(
        snapshots=snapshots,
        checkpoint=folder / "checkpoint.safetensors",
        fingerprint=_fingerprint(run, hyperparameters, code, data),
        on_epoch=lambda epoch, metrics: tracker.metrics({f"epoch/{name}": value for name, value in metrics.items()}, step=epoch),
        log=lambda line: job.progress(f"{run.key}: {line}"),
    )
    check_data(data)
    seed_everything(run.seed)
    model = build_model(kind, hyperparameters)
    with cost.stopwatch() as took, job.time_limit(time_limit):
        model.fit(data, trainer)
    # A resumed training has spent what the earlier attempts did, too.
    seconds = max(took["seconds"], trainer.history[-1]["seconds"] if trainer.history else 0)

    if isinstance(model, torch.nn.Module):
        model.cpu()
    save_model(outputs.model, model, run.family, run.of, hyperparameters, data.spec)
    # One row per epoch; a model that is not trained in epochs has none.
    columns = list(dict.fromkeys(name for row in trainer.history for name in row)) or ["epoch"]
    files.write_csv(outputs.history, trainer.history, columns)
    _save(snapshots, Path(outputs.snapshots))
    figures = {
        "parameters": cost.count_parameters(model),
        "fit_seconds": seconds,
        "fit_core_seconds": took["core_seconds"],
        "peak_mb": cost.peak_megabytes(),
        "model_bytes": cost.folder_bytes(outputs.model),
    }
    drawn = {"snapshots": [epoch for epoch, _ in snapshots.shown], "collapsed": collapsed_since(trainer.history)}
    files.write_json(outputs.cost, figures | drawn | {"provenance": origin, "settings": settings})
    (folder / "checkpoint.safetensors").unlink(missing_ok=True)
    tracker.metrics({f"cost/{name}": value for name, value in figures.items()})
    tracker.model(outputs.model)
    tracker.finish()
    tracker.flush()


def _save(snapshots: SampleMonitor, folder: Path) -> None:
    """samples.npy (epochs, SHOWN, C, H, W) uint8; an empty folder for a model that draws none."""
    with files.atomic(folder) as temporary:
        temporary.mkdir(parents=True)
        if snapshots.taken:
            np.save(temporary / "samples.npy", torch.stack([images for _, images in snapshots.shown]).numpy())


def _fingerprint(run: Run, hyperparameters: dict, code: str, data: TrainingData) -> str:
    digest = hashlib.sha256(repr((run, sorted(hyperparameters.items()), data.spec, len(data.x))).encode())
    digest.update(code.encode())
    digest.update(data.y.numpy().tobytes())
    return digest.hexdigest()
