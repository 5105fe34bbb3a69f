"""Draws samples from one fitted model and writes them, a grid to look at, and what they cost."""

from dataclasses import dataclass

import numpy as np
import torch

from pofxy.base.prediction import sample_batched
from pofxy.base.seeding import seed_everything
from pofxy.base.tags import tags_of
from pofxy.storage import files
from pofxy.storage.image_grid import save_grid, save_scatter
from pofxy.storage.models import load_model, load_spec
from pofxy.workflow import cost

SHOWN = 100


@dataclass(frozen=True)
class Outputs:
    """Where samples go: x (n, ...) and y (n,) as .npy, the grid as PNG, sample.json with the seconds."""

    x: str
    y: str
    grid: str
    cost: str


def sample(model_folder: str, n: int, counts: list[int], seed: int, outputs: Outputs, tracker) -> None:
    """Draws n samples.

    Args:
        model_folder: of the fitted model.
        n: samples to draw.
        counts: train images of each class, (K,): a conditional model is asked for the classes as often as they occur.
        seed: of the draw.
        outputs: written whole or not at all. The labels of an unconditional model's samples are -1.
        tracker: hears of the grid and the seconds.
    """
    model = load_model(model_folder)
    spec = load_spec(files.read_json(f"{model_folder}/model.json")["spec"])
    labels = in_turn(counts, n) if tags_of(model).conditional else None
    seed_everything(seed)
    with cost.stopwatch() as took:
        x = sample_batched(model, n, labels)
    if not torch.isfinite(x).all() or x.min() < 0 or x.max() > 1:
        raise ValueError(f"samples must lie in [0, 1]; these reach from {x.min():.4g} to {x.max():.4g}")
    for path, array in ((outputs.x, x), (outputs.y, labels if labels is not None else torch.full((n,), -1))):
        with files.atomic(path) as temporary:
            np.save(temporary, array.numpy())
    if x.dim() == 4:
        save_grid(outputs.grid, x[:SHOWN], columns=spec.classes if labels is not None else 10)
    else:
        save_scatter(outputs.grid, x, labels)
    files.write_json(outputs.cost, {"sample_seconds": took["seconds"], "sample_core_seconds": took["core_seconds"], "n": n})
    tracker.metrics({"cost/sample_seconds_per_1000": 1000 * took["seconds"] / n})
    tracker.artifact(outputs.grid, "samples")
    tracker.flush()


def in_turn(counts: list[int], n: int) -> torch.Tensor:
    """n labels, (n,) int64, in the proportions of the counts (K,); those of equal counts take turns: 0, 1, .. K - 1, 0, 1, .."""
    share = n * torch.tensor(counts, dtype=torch.float64) / sum(counts)
    number = share.floor().long()
    # The largest remainders get what rounding down left over.
    number[(share - number).sort(descending=True, stable=True).indices[: n - int(number.sum())]] += 1
    labels = torch.arange(len(counts)).repeat_interleave(number)
    # Each class is spread evenly over the row.
    place = torch.cat([(torch.arange(int(k)) + 0.5) / k for k in number if k])
    return labels[place.sort(stable=True).indices]
