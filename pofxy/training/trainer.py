"""The training loop for torch models.

A model describes its objectives: each is a set of parameters and a loss that they minimize. One objective is the usual case; two
make a generative adversarial network (GAN). The loop does what all models have in common: device, mixed precision, optimizer,
learning-rate schedule, validation, detection of divergence. What happens at the end of an epoch are callbacks: samples during
training, early stopping, history, progress, checkpoints. A model that is trained in several parts, one after the other, runs the
loop once for each.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from pofxy.base.data import TrainingData
from pofxy.base.hyperparameters import Optimization
from pofxy.base.prediction import best_device, inference
from pofxy.training.callbacks import Callback, Checkpoint, EarlyStopping, History, Stateful, TrainingState
from pofxy.training.optimizers import AdamW, learning_rate_factor
from pofxy.training.sample_monitor import SampleMonitor, collapsed_since
from pofxy.workflow.progress import EpochProgress

# An epoch has at least so many steps, if need be by several passes over the data: its fixed costs are then those of a few steps.
EPOCH_STEPS = 10

# (x, y) of one batch -> a scalar, or a dict of scalars of which "loss" counts and the others are recorded.
Loss = Callable[[Tensor, Tensor], Tensor | dict[str, Tensor]]


class Diverged(RuntimeError):
    """A loss is no longer a finite number; the message names the loss and the epoch."""


@dataclass
class Objective:
    """A set of parameters and the loss that they minimize.

    Attributes:
        loss: (x, y) of one batch -> a scalar, or a dict of scalars of which "loss" is minimized and the others are recorded.
        parameters: what this objective optimizes.
        learning_rate: highest learning rate of the schedule.
        betas: decay rates of Adam's moving averages.
        weight_decay: decoupled weight decay, as in AdamW.
        schedule: "constant", "cosine" or "one_cycle", see `learning_rate_factor`.
        update_every: number of batches per step of this objective.
        name: prefix of its columns in the history; "" for the only objective.
        on_step_end: called after each of its steps, e.g. to update an exponential moving average (EMA) of the parameters.
    """

    loss: Loss
    parameters: Iterable[torch.nn.Parameter]
    learning_rate: float
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    schedule: str = "cosine"
    update_every: int = 1
    name: str = ""
    on_step_end: Callable[[], None] | None = None

    def __post_init__(self):
        self.parameters = list(self.parameters)


@dataclass
class Trainer:
    """Trains a model's objectives on a data set.

    Attributes:
        device: None for the accelerator if there is one, else the CPU.
        checkpoint: file to resume from and to save to; None to do neither.
        fingerprint: of all that the training is made of; a checkpoint of another one is ignored.
        checkpoint_seconds: shortest time between two checkpoints.
        sample_monitor: keeps samples of the model during training; None to draw none.
        on_epoch: called with the number of the epoch, from 1, and its metrics by name.
        log: gets progress lines.
        history: one dict per epoch, as on_epoch gets them.
        parts: number of calls of `run` so far.
    """

    device: torch.device | str | None = None
    checkpoint: Path | None = None
    fingerprint: str = ""
    checkpoint_seconds: float = 20.0
    sample_monitor: SampleMonitor | None = None
    on_epoch: Callable[[int, dict[str, float]], None] = lambda epoch, metrics: None
    log: Callable[[str], None] = lambda line: None
    history: list[dict[str, float]] = field(default_factory=list)
    parts: int = field(default=0, init=False)

    def run(
        self,
        model: torch.nn.Module,
        data: TrainingData,
        objectives: list[Objective],
        *,
        steps: int,
        batch: int,
        validate: Loss | None = None,
        patience: int | None = None,
        bfloat16: bool = False,
    ) -> None:
        """Trains in place; afterwards the model is in evaluation mode, with its best parameters where `validate` is given.

        It may be called several times, for one part of the model after the other: epochs are numbered on, and a part that was
        over when its checkpoint was written is not repeated. What is done between parts must follow from the model's state alone.

        Args:
            model: holds the objectives' parameters; all its state is saved in a checkpoint.
            data: train and val split.
            objectives: each takes its steps in this order on every batch.
            steps: number of batches, rounded up to whole epochs: a budget that does not grow with the data set.
            batch: images in a batch; the last, smaller batch of a pass over the data is left out.
            validate: like a loss, on the val split after each epoch; the parameters of the lowest "loss" are kept. Where the val
                split is the train split, as on a subset of a learning curve, nothing is validated: the last parameters are kept.
            patience: number of epochs without a lower loss on val after which training stops.
            bfloat16: whether to use mixed precision where the hardware computes bfloat16; only for losses that tolerate it.

        Raises:
            Diverged: where a recorded number of an epoch is not finite.
        """
        self.parts += 1
        device = torch.device(self.device) if self.device else best_device()
        model.to(device)
        batches = EpochBatches(data.x.to(device), data.y.to(device), batch, steps)
        x_val = data.x_val.to(device)
        y_val = data.y_val.to(device)
        precision = torch.autocast(device.type, torch.bfloat16, enabled=bfloat16 and supports_bfloat16(device))
        last = self.history[-1] if self.history else {"epoch": 0, "seconds": 0.0}
        state = TrainingState(
            model=model,
            data=data,
            optimizers=[AdamW(list(each.parameters), each.betas, each.weight_decay) for each in objectives],
            part=self.parts,
            epochs=batches.epochs,
            earlier_epochs=int(last["epoch"]),
            started=time.monotonic() - last["seconds"],
        )
        early_stopping = EarlyStopping(patience)
        callbacks, checkpoint = self._callbacks(early_stopping)
        if checkpoint and checkpoint.resume(state):
            model.eval()
            return

        while state.epoch < state.epochs and not early_stopping.should_stop(state):
            state.epoch += 1
            state.metrics = train_epoch(state, objectives, batches, precision)
            if validate is not None and data.x_val is not data.x:
                val_metrics = validate_epoch(model, validate, x_val, y_val, precision)
                state.val_loss = val_metrics["loss"]
                # Of several parts that are trained one after the other, each has columns of its own.
                prefix = f"val_{objectives[0].name}_" if len(objectives) == 1 and objectives[0].name else "val_"
                state.metrics |= {prefix + name: value for name, value in val_metrics.items()}
            check_finite(state)
            for callback in callbacks:
                callback.on_epoch_end(state)

        early_stopping.restore_best(model)
        model.eval()
        if since := collapsed_since(self.history):
            self.log(f"collapsed: from epoch {since} on all samples are alike")

    def minimize(
        self,
        model: torch.nn.Module,
        data: TrainingData,
        loss: Loss,
        optimization: Optimization,
        *,
        parameters: Iterable[torch.nn.Parameter] | None = None,
        schedule: str = "cosine",
        on_step_end: Callable[[], None] | None = None,
        validate: Loss | None = None,
        bfloat16: bool = False,
    ) -> None:
        """Trains with a single objective, the usual case of `run`.

        Args:
            model, data, validate, bfloat16: as in `run`.
            loss, schedule, on_step_end: as in `Objective`.
            optimization: steps, batch size, highest learning rate and weight decay.
            parameters: what is optimized; all parameters of the model by default.
        """
        objective = Objective(
            loss,
            model.parameters() if parameters is None else parameters,
            optimization.learning_rate,
            weight_decay=optimization.weight_decay,
            schedule=schedule,
            on_step_end=on_step_end,
        )
        steps, batch = optimization.steps, optimization.batch
        self.run(model, data, [objective], steps=steps, batch=batch, validate=validate, bfloat16=bfloat16)

    def _callbacks(self, early_stopping: EarlyStopping) -> tuple[list[Callback], Checkpoint | None]:
        """The callbacks in the order in which they are called; the checkpoint, which is the last one, also by itself."""
        history = History(self.history, self.on_epoch)
        callbacks: list[Callback] = [early_stopping, history, EpochProgress(self.log)]
        kept: dict[str, Stateful] = {"early_stopping": early_stopping, "history": history}
        if self.sample_monitor:
            callbacks.insert(0, self.sample_monitor)
            kept["sample_monitor"] = self.sample_monitor
        if not self.checkpoint:
            return callbacks, None
        checkpoint = Checkpoint(self.checkpoint, self.fingerprint, self.checkpoint_seconds, self.log, kept)
        return [*callbacks, checkpoint], checkpoint


class EpochBatches:
    """The batches of an epoch, in a new random order each time it is iterated over.

    An epoch is one pass over the data, or as many passes as make EPOCH_STEPS steps: what is done once an epoch then costs as much
    as a few steps.

    Args:
        x, y: (N, ...) and (N,), on the device.
        batch: images in a batch; the last, smaller batch of a pass is left out.
        steps: number of batches of the whole training.

    Attributes:
        steps: number of batches of one epoch.
        epochs: number of epochs of the whole training.
    """

    def __init__(self, x: Tensor, y: Tensor, batch: int, steps: int):
        self.x = x
        self.y = y
        self.batch = min(batch, len(x))
        steps_per_pass = len(x) // self.batch
        self.passes = math.ceil(min(EPOCH_STEPS, steps) / steps_per_pass)
        self.steps = self.passes * steps_per_pass
        self.epochs = math.ceil(steps / self.steps)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        used = len(self.x) // self.batch * self.batch
        order = torch.cat([torch.randperm(len(self.x))[:used] for _ in range(self.passes)])
        for index in order.to(self.x.device).split(self.batch):
            yield self.x[index], self.y[index]


def train_epoch(
    state: TrainingState, objectives: list[Objective], batches: EpochBatches, precision: torch.autocast
) -> dict[str, float]:
    """One epoch of training steps.

    Args:
        state: of the training; its `epoch` is the one to train.
        objectives: each takes its steps in this order on every batch.
        batches: of the epoch.
        precision: context that the losses are computed in.

    Returns:
        The mean of every recorded number of every objective, over the steps that recorded it.
    """
    state.model.train()
    totals: dict[str, Tensor] = {}
    counts: dict[str, int] = {}
    for step, (x, y) in enumerate(batches, start=(state.epoch - 1) * batches.steps):
        for objective, optimizer in zip(objectives, state.optimizers, strict=True):
            if step % objective.update_every:
                continue
            with precision:
                losses = by_name(objective.loss(x, y))
            # Only this objective's gradients: other parameters that the loss passes through belong to other objectives.
            losses["loss"].backward(inputs=optimizer.parameters)
            if len(objectives) > 1:
                losses["gradient_norm"] = get_total_norm([p.grad for p in optimizer.parameters if p.grad is not None])
            done = step / (state.epochs * batches.steps)
            optimizer.step(objective.learning_rate * learning_rate_factor(objective.schedule, done))
            if objective.on_step_end:
                objective.on_step_end()
            for name, value in losses.items():
                column = f"{objective.name}_{name}".lstrip("_")
                totals[column] = totals.get(column, 0) + value.detach()
                counts[column] = counts.get(column, 0) + 1
    return {column: float(total) / counts[column] for column, total in totals.items()}


def validate_epoch(
    model: torch.nn.Module, loss: Loss, x: Tensor, y: Tensor, precision: torch.autocast, batch: int = 512
) -> dict[str, float]:
    """The mean of a loss over the val split, in evaluation mode and without gradients.

    Args:
        model: that the loss is of.
        loss: a mean over the rows of a batch.
        x, y: (N, ...) and (N,) of the val split, on the device.
        precision: context that the loss is computed in.
        batch: rows at once.

    Returns:
        The number by the name "loss", or the numbers that the loss gives by their names.
    """
    totals: dict[str, float] = {}
    with inference(model), precision:
        for x_batch, y_batch in zip(x.split(batch), y.split(batch), strict=True):
            for name, value in by_name(loss(x_batch, y_batch)).items():
                totals[name] = totals.get(name, 0.0) + float(value) * len(x_batch)
    return {name: total / len(x) for name, total in totals.items()}


def by_name(loss: Tensor | dict[str, Tensor]) -> dict[str, Tensor]:
    """What a loss gives as a dict, with "loss" in it."""
    return loss if isinstance(loss, dict) else {"loss": loss}


def check_finite(state: TrainingState) -> None:
    """Raises Diverged for the first metric of the epoch that is NaN or infinite."""
    for name, value in state.metrics.items():
        if not math.isfinite(value):
            raise Diverged(f"{name} is {value} in epoch {state.total_epoch} of {state.earlier_epochs + state.epochs}")


def supports_bfloat16(device: torch.device) -> bool:
    """Whether the hardware computes bfloat16; where it is emulated it only costs time."""
    if device.type == "cpu":
        able = torch.cpu.get_capabilities()
        return bool(able.get("avx512_bf16") or able.get("amx_bf16"))
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
