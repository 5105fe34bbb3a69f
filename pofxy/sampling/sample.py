"""Draws samples from one fitted model and writes them, a grid to look at, and their cost."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pofxy.base.prediction import sample_batched
from pofxy.base.seeding import seed_everything
from pofxy.base.tags import tags_of
from pofxy.storage import files
from pofxy.storage.image_grid import save_grid, save_scatter
from pofxy.storage.models import load_model, load_spec
from pofxy.tracking import Tracker
from pofxy.workflow import cost

# Samples in the grid, and its columns where there are no classes.
GRID_SAMPLES = 100
GRID_COLUMNS = 10


@dataclass(frozen=True)
class Outputs:
    """Where samples are written.

    Attributes:
        x: samples (n, ...) as .npy.
        y: labels (n,) as .npy; -1 for the samples of an unconditional model.
        grid: the first samples as PNG; for a table, all of them as points.
        cost: JSON with the seconds.
    """

    x: str
    y: str
    grid: str
    cost: str


def sample(model_folder: str, n: int, class_counts: list[int], seed: int, outputs: Outputs, tracker: Tracker) -> None:
    """Draws n samples and writes them.

    Args:
        model_folder: folder of the fitted model.
        n: number of samples.
        class_counts: number of train images of each class, (K,): a conditional model gets labels in these proportions.
        seed: of the random generators.
        outputs: each is written whole or not at all.
        tracker: gets the grid and the seconds.

    Raises:
        ValueError: where a sample is not in [0, 1].
    """
    model = load_model(model_folder)
    spec = load_spec(files.read_json(f"{model_folder}/model.json")["spec"])
    labels = proportional_labels(class_counts, n) if tags_of(model).conditional else None
    seed_everything(seed)
    with cost.stopwatch() as took:
        x = sample_batched(model, n, labels)
    if not torch.isfinite(x).all() or x.min() < 0 or x.max() > 1:
        raise ValueError(f"samples must lie in [0, 1]; these reach from {x.min():.4g} to {x.max():.4g}")
    y = labels if labels is not None else torch.full((n,), -1)
    for path, array in ((outputs.x, x), (outputs.y, y)):
        with files.atomic(path) as temporary:
            np.save(temporary, array.numpy())
    if x.dim() == 4:
        save_grid(outputs.grid, x[:GRID_SAMPLES], columns=spec.classes if labels is not None else GRID_COLUMNS)
    else:
        save_scatter(outputs.grid, x, labels)
    files.write_json(outputs.cost, {"sample_seconds": took["seconds"], "sample_core_seconds": took["core_seconds"], "n": n})
    tracker.metrics({"cost/sample_seconds_per_1000": 1000 * took["seconds"] / n})
    tracker.artifact(outputs.grid, "samples")
    tracker.flush()


def proportional_labels(class_counts: list[int], n: int) -> Tensor:
    """n labels in the proportions of the classes, each class evenly spread over them.

    Args:
        class_counts: number of images of each class, (K,).
        n: number of labels.

    Returns:
        (n,) int64; with equal counts 0, 1, .. K - 1, 0, 1, ..
    """
    share = n * torch.tensor(class_counts, dtype=torch.float64) / sum(class_counts)
    number = share.floor().long()
    # The largest remainders get what rounding down left over.
    number[(share - number).sort(descending=True, stable=True).indices[: n - int(number.sum())]] += 1
    labels = torch.arange(len(class_counts)).repeat_interleave(number)  # (n,), class by class
    place = torch.cat([(torch.arange(int(k)) + 0.5) / k for k in number if k])  # (n,), evenly spaced in [0, 1] within each class
    return labels[place.sort(stable=True).indices]
