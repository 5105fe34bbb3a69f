"""The one training loop for torch models.

A model describes its objectives: each has parameters and a loss that they minimise. One objective is the usual case; two make a
generative adversarial net. The loop does what all have in common: device, mixed precision, fused optimizer, learning-rate
schedule, early stopping on val, checkpoint and resume at epoch grain, detection of divergence, samples on the way, progress with
the time left. A model that is trained in several parts, one after the other, runs it for each.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim.adamw import adamw
from tqdm import tqdm

from pofxy.base.data import TrainingData
from pofxy.base.prediction import best_device, inference
from pofxy.base.seeding import random_state, restore_random_state
from pofxy.storage.models import load_tree, save_tree
from pofxy.training.sample_monitor import SampleMonitor, collapsed_since

PROGRESS_SECONDS = 5
EPOCH_STEPS = 10


class Diverged(RuntimeError):
    """A loss is no longer a finite number; the message names the loss and the epoch."""


@dataclass
class Objective:
    """One set of parameters and the loss that they minimise.

    Attributes:
        loss: (x, y) of one batch -> a scalar, or a dict of scalars of which "loss" is minimised and the others are recorded.
        parameters: what this objective moves.
        learning_rate: at its height.
        betas: Adam's.
        weight_decay: decoupled (AdamW).
        schedule: "constant", "cosine" (from the height to 0) or "one_cycle" (up for a quarter of the steps, then to 0).
        update_every: number of batches per step of this objective.
        name: prefix of its columns in the history; "" for the only objective.
        on_step_end: called after each of its steps, e.g. to update an exponential moving average (EMA) of the parameters.
    """

    loss: Callable[[Tensor, Tensor], Tensor | dict[str, Tensor]]
    parameters: list[torch.nn.Parameter]
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
        device: None for the accelerator that is there, else the CPU.
        checkpoint: a file to resume from and to save to; None to do neither.
        fingerprint: of all that the training is made of; a checkpoint of another one is ignored.
        checkpoint_seconds: at least so long between two checkpoints.
        snapshots: keeps what the model draws on the way; None to draw nothing.
        on_epoch: gets the number of the epoch, from 1, and its metrics by name.
        log: gets progress lines.
        history: one dict per epoch, as on_epoch gets them.
    """

    device: torch.device | str | None = None
    checkpoint: Path | None = None
    fingerprint: str = ""
    checkpoint_seconds: float = 20.0
    snapshots: SampleMonitor | None = None
    on_epoch: Callable[[int, dict[str, float]], None] = lambda epoch, metrics: None
    log: Callable[[str], None] = lambda line: None
    history: list[dict[str, float]] = field(default_factory=list)
    runs: int = field(default=0, init=False)

    def run(
        self,
        model: torch.nn.Module,
        data: TrainingData,
        objectives: list[Objective],
        *,
        steps: int,
        batch: int,
        validate: Callable[[Tensor, Tensor], Tensor | dict[str, Tensor]] | None = None,
        patience: int | None = None,
        bfloat16: bool = False,
    ) -> None:
        """Trains in place; afterwards the model is in evaluation mode, with its best parameters where `validate` is given.

        It may be called several times, for one part of the model after the other: epochs are numbered on, and a run that was over
        when its checkpoint was written is not repeated. What is done between runs must follow from the model's state alone.

        Args:
            model: holds the objectives' parameters; all its state is saved in a checkpoint.
            data: train and val split.
            objectives: each takes its steps in this order on every batch.
            steps: batches in all, rounded up to whole epochs: a budget that doesn't grow with the data set. An epoch is one pass
                over the train split, or as many as make EPOCH_STEPS batches: what is done once an epoch costs as much as a few.
            batch: images at once; the last, smaller batch of an epoch is left out.
            validate: like a loss, on the val split after each epoch; the parameters of the lowest "loss" are kept.
            patience: epochs without a lower loss on val after which training stops.
            bfloat16: mixed precision, for losses that agree with it, where the hardware multiplies bfloat16.

        Raises:
            Diverged: where a recorded number of an epoch is not finite.
        """
        device = torch.device(self.device) if self.device else best_device()
        model.to(device)
        self.runs += 1
        x, y, x_val, y_val = (part.to(device) for part in (data.x, data.y, data.x_val, data.y_val))
        batch = min(batch, len(x))
        passes = math.ceil(min(EPOCH_STEPS, steps) / (len(x) // batch))
        per_epoch = passes * (len(x) // batch)
        epochs = math.ceil(steps / per_epoch)
        autocast = torch.autocast(device.type, torch.bfloat16, enabled=bfloat16 and multiplies_bfloat16(device))
        optimizers = [AdamW(objective.parameters, objective.betas, objective.weight_decay) for objective in objectives]
        last = self.history[-1] if self.history else {"epoch": 0, "seconds": 0.0}
        progress = _Progress(before=last["epoch"], seconds=last["seconds"])
        if (earlier := self._earlier()) and earlier["run"] > self.runs:
            model.load_state_dict(earlier["model"])
            model.eval()
            return
        if earlier and earlier["run"] == self.runs:
            progress = self._resume(earlier, model, optimizers, device)
        started, saved, said = time.monotonic() - progress.seconds, time.monotonic(), 0.0

        for epoch in range(progress.epoch + 1, epochs + 1):
            if patience is not None and epoch - 1 - progress.best_epoch > patience:
                break
            model.train()
            totals: dict[str, Tensor] = {}
            counts: dict[str, int] = {}
            order = torch.cat([torch.randperm(len(x))[: per_epoch // passes * batch] for _ in range(passes)])
            for i, index in enumerate(order.to(device).split(batch)):
                step = (epoch - 1) * per_epoch + i
                x_batch, y_batch = x[index], y[index]
                for objective, optimizer in zip(objectives, optimizers, strict=True):
                    if step % objective.update_every:
                        continue
                    with autocast:
                        losses = objective.loss(x_batch, y_batch)
                    losses = losses if isinstance(losses, dict) else {"loss": losses}
                    # Only this objective's gradients: what the loss passes through on the way belongs to others.
                    losses["loss"].backward(inputs=objective.parameters)
                    if len(objectives) > 1:
                        losses["gradient_norm"] = get_total_norm([p.grad for p in objective.parameters if p.grad is not None])
                    optimizer.step(objective.learning_rate * rate(objective.schedule, step / (epochs * per_epoch)))
                    if objective.on_step_end:
                        objective.on_step_end()
                    for name, value in losses.items():
                        key = f"{objective.name}_{name}".lstrip("_")
                        totals[key] = totals.get(key, 0) + value.detach()
                        counts[key] = counts.get(key, 0) + 1

            metrics = {name: float(total) / counts[name] for name, total in totals.items()}
            if validate is not None:
                with inference(model), autocast:
                    found = _mean_over_batches(validate, x_val, y_val)
                # Of several parts that are trained one after the other, each has columns of its own.
                of = f"val_{objectives[0].name}_" if len(objectives) == 1 and objectives[0].name else "val_"
                metrics |= {of + name: value for name, value in found.items()}
            number = progress.before + epoch
            for name, value in metrics.items():
                if not math.isfinite(value):
                    raise Diverged(f"{name} is {value} in epoch {number} of {progress.before + epochs}")
            if self.snapshots and self.snapshots.due(epoch, epochs):
                metrics |= self.snapshots.take(model, data, number)
            if validate is not None and found["loss"] < progress.best_loss:
                progress.best_loss, progress.best_epoch = found["loss"], epoch
                progress.best = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

            now = time.monotonic()
            progress.epoch, progress.seconds = epoch, now - started
            self.history.append({"epoch": number, "seconds": round(progress.seconds, 3)} | metrics)
            self.on_epoch(number, self.history[-1])
            if now - said > PROGRESS_SECONDS or epoch == epochs:
                said = now
                numbers = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
                shape = "epoch {n_fmt}/{total_fmt}, {elapsed} gone, {remaining} left{postfix}"
                self.log(tqdm.format_meter(epoch, epochs, progress.seconds, bar_format=shape, postfix=numbers))
            if self.checkpoint and now - saved >= self.checkpoint_seconds and epoch < epochs:
                saved = now
                self._save(model, optimizers, progress)

        if progress.best:
            model.load_state_dict(progress.best)
        model.eval()
        if since := collapsed_since(self.history):
            self.log(f"collapsed: from epoch {since} on all samples are alike")

    def _save(self, model, optimizers, progress):
        save_tree(
            self.checkpoint,
            {
                "fingerprint": self.fingerprint,
                "run": self.runs,
                "model": model.state_dict(),
                "optimizers": [optimizer.state for optimizer in optimizers],
                "progress": vars(progress),
                "history": self.history,
                "snapshots": self.snapshots.taken if self.snapshots else [],
                "random": random_state(),
            },
        )

    def _earlier(self):
        """What the checkpoint holds; None where there is none, or one of another training."""
        if not self.checkpoint or not self.checkpoint.is_file():
            return None
        saved = load_tree(self.checkpoint)
        if saved["fingerprint"] == self.fingerprint:
            return saved
        self.log("the checkpoint is of another training: starting anew")
        return None

    def _resume(self, saved, model, optimizers, device):
        """The progress of the checkpoint, everything else put back as it was."""
        model.load_state_dict(saved["model"])
        for optimizer, state in zip(optimizers, saved["optimizers"], strict=True):
            optimizer.state = {name: [part.to(device) for part in parts] for name, parts in state.items()}
        self.history[:] = saved["history"]
        if self.snapshots:
            self.snapshots.taken[:] = map(tuple, saved["snapshots"])
        for metrics in self.history:
            self.on_epoch(metrics["epoch"], metrics)
        restore_random_state(saved["random"])
        progress = _Progress(**saved["progress"])
        self.log(f"resuming after epoch {progress.before + progress.epoch}")
        return progress


class AdamW:
    """Adam with decoupled weight decay (I. Loshchilov, F. Hutter, ICLR 2019), by torch's own fused function.

    `torch.optim.AdamW` is the same around the same function, but imports torch's compiler first: a second of every training job.

    Args:
        parameters: what it moves; they keep their place and their type.
        betas: decay of the averages of the gradient and of its square.
        weight_decay: share of each parameter that a step of learning rate 1 takes away.
    """

    def __init__(self, parameters: list[torch.nn.Parameter], betas: tuple[float, float], weight_decay: float):
        self.parameters, self.betas, self.weight_decay = parameters, betas, weight_decay
        self.state = {
            "mean": [torch.zeros_like(p, requires_grad=False) for p in parameters],
            "square": [torch.zeros_like(p, requires_grad=False) for p in parameters],
            "steps": [torch.zeros((), device=p.device) for p in parameters],
        }

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Moves the parameters that have a gradient, and takes the gradients away."""
        moved = [i for i, parameter in enumerate(self.parameters) if parameter.grad is not None]
        mean, square, steps = ([parts[i] for i in moved] for parts in self.state.values())
        adamw(
            [self.parameters[i] for i in moved],
            [self.parameters[i].grad for i in moved],
            mean,
            square,
            [],
            steps,
            fused=True,
            amsgrad=False,
            maximize=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=learning_rate,
            weight_decay=self.weight_decay,
            eps=1e-8,
        )
        for parameter in self.parameters:
            parameter.grad = None


@dataclass
class _Progress:
    before: int = 0
    epoch: int = 0
    seconds: float = 0.0
    best_loss: float = math.inf
    best_epoch: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is computed by the hardware; where it is emulated it only costs time."""
    if device.type == "cpu":
        able = torch.cpu.get_capabilities()
        return bool(able.get("avx512_bf16") or able.get("amx_bf16"))
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def rate(schedule: str, done: float) -> float:
    """The share of the learning rate's height after the share `done` of all steps."""
    if schedule == "constant":
        return 1.0
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * done))
    if schedule == "one_cycle":
        rise = 0.25
        return 0.5 * (1 - math.cos(math.pi * (done / rise if done < rise else (1 - done) / (1 - rise))))
    raise ValueError(f"unknown schedule '{schedule}': constant, cosine or one_cycle")


def _mean_over_batches(function, x: Tensor, y: Tensor, batch: int = 512) -> dict[str, float]:
    sums: dict[str, float] = {}
    for x_batch, y_batch in zip(x.split(batch), y.split(batch), strict=True):
        values = function(x_batch, y_batch)
        for name, value in (values if isinstance(values, dict) else {"loss": values}).items():
            sums[name] = sums.get(name, 0.0) + float(value) * len(x_batch)
    return {name: total / len(x) for name, total in sums.items()}
