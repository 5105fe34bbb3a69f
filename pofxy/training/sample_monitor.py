"""Samples of a generative model during its training, and whether they are diverse.

    diversity = mean |s - s'| over pairs of samples  /  mean |x - x'| over pairs of train images

Pairs are of one class where the model is conditional, so a model that generates one image per class has collapsed, too. A model
of the data distribution has a diversity near 1. Early in training all samples are alike, so only a low diversity that lasts to
the end of the training is a collapse.
"""

import torch
from torch import Tensor

from pofxy.base.data import TrainingData
from pofxy.base.prediction import sample_batched
from pofxy.base.seeding import random_state, restore_random_state, seed_everything
from pofxy.base.tags import tags_of
from pofxy.training.callbacks import TrainingState

# Shares of all epochs after which samples are drawn; the last epoch is always among them.
SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)
# Samples that are kept of each epoch.
KEPT_SAMPLES = 10
# Epochs that a figure shows, at most.
MAX_SHOWN_EPOCHS = 8
# Samples per class that the diversity is measured on.
SAMPLES_PER_CLASS = 2
# Samples where there are no classes, and train images in both cases.
MAX_COMPARED = 20
# Diversity below which samples count as alike.
COLLAPSED = 0.2


class SampleMonitor:
    """Draws samples of a model in training: the same labels and the same seed each time.

    Attributes:
        taken: (epoch, images (KEPT_SAMPLES, C, H, W) uint8) in the order of the epochs.
    """

    def __init__(self):
        self.taken: list[tuple[int, Tensor]] = []

    def on_epoch_end(self, state: TrainingState) -> None:
        """Draws samples where they are due, and adds their diversity to the metrics of the epoch."""
        if self.due(state.epoch, state.epochs):
            state.metrics |= self.take(state.model, state.data, state.total_epoch)

    def due(self, epoch: int, epochs: int) -> bool:
        """Whether samples are drawn after this epoch: after the first one and after the SHARES of all epochs."""
        return epoch in {1, *(max(1, round(share * epochs)) for share in SHARES)}

    @property
    def shown(self) -> list[tuple[int, Tensor]]:
        """At most MAX_SHOWN_EPOCHS of `taken`, evenly spread; the first and the last one are among them."""
        last = len(self.taken) - 1
        rows = min(MAX_SHOWN_EPOCHS, len(self.taken))
        return [self.taken[round(i * last / max(rows - 1, 1))] for i in range(rows)]

    def take(self, model, data: TrainingData, epoch: int) -> dict[str, float]:
        """Draws samples and keeps the first ones. The random generators are left as they were.

        Args:
            model: the model in training.
            data: what it is trained on.
            epoch: number that the samples are kept under.

        Returns:
            {"diversity": ...}; empty for a model without `sample`, or of a table.
        """
        if not hasattr(model, "sample") or len(data.spec.shape) != 3:
            return {}
        conditional = tags_of(model).conditional
        classes = min(data.spec.classes, KEPT_SAMPLES)
        labels = torch.arange(SAMPLES_PER_CLASS * classes) % classes if conditional else None
        state = random_state()
        seed_everything(0)
        samples = sample_batched(model, MAX_COMPARED if labels is None else len(labels), labels)
        restore_random_state(state)
        self.taken.append((epoch, (samples[:KEPT_SAMPLES].clamp(0, 1) * 255).round().byte()))
        pairs_of = [(samples, data.x[:MAX_COMPARED])]
        if labels is not None:
            pairs_of = [(samples[labels == k], data.x[data.y == k][:MAX_COMPARED]) for k in range(classes)]
        # The mean over classes; a class with a single train image has no pairs.
        of_samples = torch.stack([mean_distance(sampled) for sampled, _ in pairs_of]).nanmean()
        of_images = torch.stack([mean_distance(images) for _, images in pairs_of]).nanmean()
        return {"diversity": float(of_samples / of_images.clamp(min=1e-12))}

    def state_dict(self) -> list[tuple[int, Tensor]]:
        """The samples that were taken."""
        return self.taken

    def load_state_dict(self, state: list) -> None:
        """Takes over what `state_dict` gave; a checkpoint makes lists of its tuples."""
        self.taken[:] = [(epoch, images) for epoch, images in state]


def collapsed_since(history: list[dict[str, float]]) -> int | None:
    """The epoch from which on all samples of a training are alike, to its end; None where they are not.

    Args:
        history: one dict per epoch, as Trainer keeps them.
    """
    since = None
    for row in history:
        if "diversity" in row:
            since = (since or int(row["epoch"])) if row["diversity"] < COLLAPSED else None
    return since


def mean_distance(x: Tensor) -> Tensor:
    """The mean Euclidean distance of pairs of rows x (N, ...); NaN for a single row."""
    return torch.pdist(x.flatten(1).float()).mean()
