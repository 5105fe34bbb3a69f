"""Draws samples from one fitted model and writes them, a grid to look at, and what they cost."""

from dataclasses import dataclass

import numpy as np
import torch

from pofxy import cost, files, protocol, store
from pofxy.pictures import save_grid

SHOWN = 100


@dataclass(frozen=True)
class Outputs:
    """Where samples go: x (n, ...) and y (n,) as .npy, the grid as PNG, sample.json with the seconds."""

    x: str
    y: str
    grid: str
    cost: str


def sample(model_folder: str, n: int, seed: int, outputs: Outputs, tracker) -> None:
    """Draws n samples.

    A conditional model is asked for every class in turn, so the classes are as frequent as each other and row 1 of the grid shows
    one of each (K = 10); the labels of an unconditional model's samples are -1.
    """
    model = store.load_model(model_folder)
    spec = store.load_spec(files.read_json(f"{model_folder}/model.json")["spec"])
    labels = torch.arange(n) % spec.classes if protocol.is_conditional(model) else None
    protocol.seeded(seed)
    with cost.stopwatch() as took:
        x = protocol.draw(model, n, labels)
    if not torch.isfinite(x).all() or x.min() < 0 or x.max() > 1:
        raise ValueError(f"samples must lie in [0, 1]; these reach from {x.min():.4g} to {x.max():.4g}")
    for path, array in ((outputs.x, x), (outputs.y, labels if labels is not None else torch.full((n,), -1))):
        with files.atomic(path) as temporary:
            np.save(temporary, array.numpy())
    save_grid(outputs.grid, x[:SHOWN], columns=spec.classes if labels is not None else 10)
    files.write_json(outputs.cost, {"sample_seconds": took["seconds"], "sample_core_seconds": took["core_seconds"], "n": n})
    tracker.metrics({"cost/sample_seconds_per_1000": 1000 * took["seconds"] / n})
    tracker.artifact(outputs.grid, "samples")
    tracker.flush()
