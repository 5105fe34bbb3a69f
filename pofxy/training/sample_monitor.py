"""What a generator draws as it learns, and whether it draws the same again and again.

    diversity = mean |s - s'| over pairs of samples  /  mean |x - x'| over pairs of train images

Pairs are of one class where the model is asked for a class: a model that draws one image of each class has collapsed, too. One
that knows the data has a diversity near 1. Early in training all samples are alike, so a collapse is what lasts to the end.
"""

import torch
from torch import Tensor

from pofxy.base.data import TrainingData
from pofxy.base.prediction import sample_batched
from pofxy.base.seeding import random_state, restore_random_state, seed_everything
from pofxy.base.tags import tags_of

# Of all epochs of a training, where samples are drawn; the last one always is.
SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)
SHOWN = 10
# Of all snapshots, as many as a picture has rows.
ROWS = 8
# Of each class, or of all where there are none, to measure the diversity by.
PAIRED = 2
REAL = 20
COLLAPSED = 0.2


class SampleMonitor:
    """Samples of a model in training, the same labels and the same noise each time.

    Attributes:
        taken: (epoch, images (SHOWN, C, H, W) uint8) in the order of the epochs; what a checkpoint keeps.
    """

    def __init__(self):
        self.taken: list[tuple[int, Tensor]] = []

    def due(self, epoch: int, epochs: int) -> bool:
        """Whether samples are drawn after this epoch, the first one, too: there the way begins."""
        return epoch in {1, *(max(1, round(share * epochs)) for share in SHARES)}

    @property
    def shown(self) -> list[tuple[int, Tensor]]:
        """ROWS of them at most, evenly spread, the first and the last one among them."""
        last, rows = len(self.taken) - 1, min(ROWS, len(self.taken))
        return [self.taken[round(i * last / max(rows - 1, 1))] for i in range(rows)]

    def take(self, model, data: TrainingData, epoch: int) -> dict[str, float]:
        """Draws samples and keeps the first ones, as if nothing had been drawn: the random generators are put back.

        Args:
            model: that is being trained.
            data: it is trained on.
            epoch: the number that the samples are kept under.

        Returns:
            Their diversity, by that name; nothing for a model that does not sample, or not images.
        """
        if not hasattr(model, "sample") or len(data.spec.shape) != 3:
            return {}
        asked, classes = tags_of(model).conditional, min(data.spec.classes, SHOWN)
        labels = torch.arange(PAIRED * classes) % classes if asked else None
        state = random_state()
        seed_everything(0)
        samples = sample_batched(model, len(labels) if asked else REAL, labels)
        restore_random_state(state)
        self.taken.append((epoch, (samples[:SHOWN].clamp(0, 1) * 255).round().byte()))
        groups = [(samples, data.x[:REAL])]
        if asked:
            groups = [(samples[labels == k], data.x[data.y == k][:REAL]) for k in range(classes)]
        drawn, real = (torch.stack([_spread(group[side]) for group in groups]).nanmean() for side in (0, 1))
        return {"diversity": float(drawn / real.clamp(min=1e-12))}


def collapsed_since(history: list[dict[str, float]]) -> int | None:
    """The epoch from which on all samples of a training are alike, to its end; None where they are not.

    Args:
        history: one dict per epoch, as Trainer keeps them.
    """
    seen = [(row["epoch"], row["diversity"]) for row in history if "diversity" in row]
    since = None
    for epoch, diversity in seen:
        since = (since or epoch) if diversity < COLLAPSED else None
    return since


def _spread(x: Tensor) -> Tensor:
    """The mean Euclidean distance of pairs of rows x (N, ...); NaN for a single row."""
    return torch.pdist(x.flatten(1).float()).mean()
