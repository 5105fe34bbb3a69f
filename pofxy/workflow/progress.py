"""Progress of a training: a line with the epoch, the time that has passed, the time that is left, and the latest numbers."""

import math
import time
from collections.abc import Callable
from typing import Protocol

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 5


class Epoch(Protocol):
    """What is reported of an epoch.

    Attributes:
        epoch: number of epochs that are done.
        epochs: number of all epochs.
        seconds: time that they have taken so far.
        metrics: numbers of this epoch by name.
    """

    epoch: int
    epochs: int
    metrics: dict[str, float]

    @property
    def seconds(self) -> float: ...


class EpochProgress:
    """Reports epochs, at most one line in SECONDS_BETWEEN_LINES, but always the first and the last one.

    Args:
        log: gets the lines.
    """

    def __init__(self, log: Callable[[str], None]):
        self.log = log
        self.last_line = -math.inf

    def on_epoch_end(self, state: Epoch) -> None:
        """Reports one epoch."""
        now = time.monotonic()
        if now - self.last_line <= SECONDS_BETWEEN_LINES and state.epoch < state.epochs:
            return
        self.last_line = now
        numbers = ", ".join(f"{name} {value:.4g}" for name, value in state.metrics.items())
        line = "epoch {n_fmt}/{total_fmt}, {elapsed} gone, {remaining} left{postfix}"
        self.log(tqdm.format_meter(state.epoch, state.epochs, state.seconds, bar_format=line, postfix=numbers))
