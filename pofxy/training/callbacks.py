"""What happens at the end of an epoch besides training: the history, early stopping, checkpoints.

The trainer calls its callbacks in their order. A callback with `state_dict` and `load_state_dict` is part of a checkpoint.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from pofxy.base.data import TrainingData
from pofxy.base.seeding import random_state, restore_random_state
from pofxy.storage.models import load_tree, save_tree
from pofxy.training.optimizers import AdamW


@dataclass
class TrainingState:
    """Where a training is: what its callbacks read.

    Attributes:
        model: the model that is trained.
        data: the train and val split.
        optimizers: one per objective.
        part: number of the call of `Trainer.run`, from 1.
        epochs: number of epochs of this part, at most.
        earlier_epochs: number of epochs of the earlier parts.
        epoch: number of the epoch within this part, from 1; 0 before the first one.
        started: when the training began, on the clock of time.monotonic, as if it had never been interrupted.
        metrics: numbers of this epoch by name; a callback may add to them before they are recorded.
        val_loss: loss on the val split after this epoch; None where the model is not validated.
    """

    model: torch.nn.Module
    data: TrainingData
    optimizers: list[AdamW]
    part: int
    epochs: int
    earlier_epochs: int
    started: float
    epoch: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    val_loss: float | None = None

    @property
    def total_epoch(self) -> int:
        """Number of the epoch, all parts counted: the epoch of the history."""
        return self.earlier_epochs + self.epoch

    @property
    def seconds(self) -> float:
        """Duration of the training so far, all parts and interrupted attempts together."""
        return time.monotonic() - self.started


class Callback(Protocol):
    """Something that is done at the end of every epoch."""

    def on_epoch_end(self, state: TrainingState) -> None:
        """Leaves the model's mode (training or evaluation) and the random generators as they are."""
        ...


class Stateful(Protocol):
    """Something that a checkpoint keeps."""

    def state_dict(self) -> Any:
        """A nest of dicts and lists with tensors, numbers, strings, bools and None at its ends."""
        ...

    def load_state_dict(self, state: Any) -> None:
        """Takes over what `state_dict` gave."""
        ...


class History:
    """Records the metrics of every epoch and passes them on.

    Args:
        rows: list that gets one dict per epoch: "epoch", "seconds" and the metrics.
        on_epoch: called with the number of the epoch and its row; with the rows of earlier epochs, too, when they are resumed.
    """

    def __init__(self, rows: list[dict[str, float]], on_epoch: Callable[[int, dict[str, float]], None]):
        self.rows = rows
        self.on_epoch = on_epoch

    def on_epoch_end(self, state: TrainingState) -> None:
        """Adds the row of this epoch."""
        row = {"epoch": state.total_epoch, "seconds": round(state.seconds, 3)} | state.metrics
        self.rows.append(row)
        self.on_epoch(state.total_epoch, row)

    def state_dict(self) -> list[dict[str, float]]:
        """The rows."""
        return self.rows

    def load_state_dict(self, state: list[dict[str, float]]) -> None:
        """Takes over the rows."""
        self.rows[:] = state
        for row in self.rows:
            self.on_epoch(int(row["epoch"]), row)


class EarlyStopping:
    """Keeps the parameters of the lowest loss on the val split, and says when to stop.

    Args:
        patience: number of epochs without a lower loss after which one more is the last; None to never stop.
    """

    def __init__(self, patience: int | None):
        self.patience = patience
        self.best_loss = math.inf
        self.best_epoch = 0
        self.best_parameters: dict[str, Tensor] = {}

    def on_epoch_end(self, state: TrainingState) -> None:
        """Copies the model's state where its loss is the lowest so far."""
        if state.val_loss is not None and state.val_loss < self.best_loss:
            self.best_loss = state.val_loss
            self.best_epoch = state.epoch
            self.best_parameters = {name: tensor.detach().clone() for name, tensor in state.model.state_dict().items()}

    def should_stop(self, state: TrainingState) -> bool:
        """Whether the patience is exhausted."""
        return self.patience is not None and state.epoch - self.best_epoch > self.patience

    def restore_best(self, model: torch.nn.Module) -> None:
        """Puts the best parameters back into the model; does nothing where it was not validated."""
        if self.best_parameters:
            model.load_state_dict(self.best_parameters)

    def state_dict(self) -> dict[str, Any]:
        """The best parameters, their loss and their epoch."""
        return {"loss": self.best_loss, "epoch": self.best_epoch, "parameters": self.best_parameters}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over what `state_dict` gave."""
        self.best_loss = state["loss"]
        self.best_epoch = state["epoch"]
        self.best_parameters = state["parameters"]


class Checkpoint:
    """Saves a training at the end of epochs and resumes it: a resumed training ends as an uninterrupted one, to the last bit.

    Args:
        path: file of the checkpoint.
        fingerprint: of all that the training is made of; a checkpoint of another one is ignored.
        seconds_between: shortest time between two checkpoints.
        log: gets a line when a checkpoint is resumed or ignored.
        kept: callbacks whose state is part of the checkpoint, by name.
    """

    def __init__(
        self,
        path: Path,
        fingerprint: str,
        seconds_between: float,
        log: Callable[[str], None],
        kept: Mapping[str, Stateful],
    ):
        self.path = path
        self.fingerprint = fingerprint
        self.seconds_between = seconds_between
        self.log = log
        self.kept = kept
        self.last_save = time.monotonic()

    def on_epoch_end(self, state: TrainingState) -> None:
        """Saves where the last checkpoint is old enough, but not after the last epoch."""
        now = time.monotonic()
        if now - self.last_save < self.seconds_between or state.epoch == state.epochs:
            return
        self.last_save = now
        save_tree(
            self.path,
            {
                "fingerprint": self.fingerprint,
                "part": state.part,
                "epoch": state.epoch,
                "earlier_epochs": state.earlier_epochs,
                "seconds": state.seconds,
                "model": state.model.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in state.optimizers],
                "callbacks": {name: callback.state_dict() for name, callback in self.kept.items()},
                "random": random_state(),
            },
        )

    def resume(self, state: TrainingState) -> bool:
        """Puts everything back as it was when the checkpoint was written, if it is one of this training.

        Returns:
            Whether this part of the training is over: the checkpoint is of a later part. The model then has the state of the
            checkpoint, and the rest is put back when that later part is resumed.
        """
        saved = self._load()
        if saved is None or saved["part"] < state.part:
            return False
        state.model.load_state_dict(saved["model"])
        if saved["part"] > state.part:
            return True
        state.epoch = saved["epoch"]
        state.earlier_epochs = saved["earlier_epochs"]
        state.started = time.monotonic() - saved["seconds"]
        for optimizer, optimizer_state in zip(state.optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(optimizer_state)
        for name, callback_state in saved["callbacks"].items():
            if name in self.kept:
                self.kept[name].load_state_dict(callback_state)
        restore_random_state(saved["random"])
        self.log(f"resuming after epoch {state.total_epoch}")
        return False

    def _load(self) -> dict[str, Any] | None:
        """The content of the file; None where there is none, or one of another training."""
        if not self.path.is_file():
            return None
        saved = load_tree(self.path)
        if saved["fingerprint"] == self.fingerprint:
            return saved
        self.log("the checkpoint is of another training: starting anew")
        return None
