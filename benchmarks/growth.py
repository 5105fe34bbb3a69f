"""How the cost of each model grows with the numbers in an image: what `make plan` scales its figures by.

    python benchmarks/growth.py        fits every model to images of 8 x 8, 16 x 16 and 32 x 32 x 3, and writes study/growth.json

Each model is fitted for a few steps, or once where it is not trained in steps. Then its samples, densities, labels and
reconstructions of a few images are computed, as far as it has them. The exponent is that of

    core-seconds = constant * numbers ^ exponent

from the smallest size to the largest one that takes at most LIMIT seconds. One thread; takes about 20 minutes.
"""

import dataclasses
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from torch import Tensor

import project
from pofxy.base.data import TrainingData
from pofxy.base.hyperparameters import build_model
from pofxy.base.prediction import inference
from pofxy.base.seeding import seed_everything
from pofxy.data.datasets import open_dataset
from pofxy.data.preprocess import preprocess
from pofxy.data.splits import load_data
from pofxy.storage.models import model_class
from pofxy.study import catalog
from pofxy.training.trainer import Trainer
from pofxy.workflow.job import TimeLimitExceeded, time_limit

SHAPES = ((1, 8, 8), (1, 16, 16), (3, 32, 32))
# Seconds of one size of one model.
LIMIT = 40
# The difference of two short fits is free of what a fit costs once. A fit takes whole passes over its images, here of a few
# steps.
STEPS = (4, 12)
TRAINED_IN_STEPS_ON = 128
# Images that an evaluation is tried on.
IMAGES = 32
EVALUATED = ("predict", "log_joint", "log_prob", "log_weight", "log_unnormalized", "reconstruct")


def main() -> None:
    """Measures the models named on the command line, or all; the other models keep their exponents in the file."""
    path = project.ROOT / "pofxy/study/growth.json"
    earlier = json.loads(path.read_text()) if path.exists() else {}
    known = {name: entry for name, entry in catalog.models().items() if not entry.tags.needs_known_distribution}
    exponents = {name: of_model for name, of_model in earlier.items() if name in known}
    digits = digits_data()
    for name in sys.argv[1:] or known:
        exponents[name] = growth(known[name], digits)
        print(f"{name:<30}{exponents[name]}", flush=True)
        lines = [f" {json.dumps(key)}: {json.dumps(exponents[key])}" for key in sorted(exponents)]
        path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def digits_data() -> TrainingData:
    """The train and val split of digits."""
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw"
        raw.mkdir()
        dataset = open_dataset("digits", {})
        dataset.download(raw, raw)
        preprocess("digits", dataset.read(raw), Path(folder))
        files = [[f"{folder}/{split}_{part}.npy" for part in "xy"] for split in ("train", "val")]
        return load_data(*files, f"{folder}/spec.json")


def growth(entry: catalog.ModelEntry, digits: TrainingData) -> dict[str, float]:
    """The exponents of "fit" and "evaluate" of one model; what could not be measured at two sizes is missing."""
    seconds: dict[str, list[tuple[int, float]]] = {"fit": [], "evaluate": []}
    for shape in SHAPES:
        try:
            with time_limit(LIMIT):
                data = enlarged(digits, shape)
                took, model = fit_seconds(entry, data)
                seconds["fit"].append((math.prod(shape), took))
                seconds["evaluate"].append((math.prod(shape), evaluate_seconds(entry, model, data)))
        except TimeLimitExceeded:
            break
        except (ValueError, RuntimeError) as error:
            print(f"{entry.name}, {shape}: {error}", file=sys.stderr)
            break
    return {part: exponent(measured) for part, measured in seconds.items() if len(measured) > 1}


def exponent(measured: list[tuple[int, float]]) -> float:
    """Of the cost between the smallest and the largest size; at least 0."""
    (small, little), (large, much) = measured[0], measured[-1]
    return round(max(math.log(max(much, 1e-4) / max(little, 1e-4)) / math.log(large / small), 0.0), 2)


def fit_seconds(entry: catalog.ModelEntry, data: TrainingData) -> tuple[float, object]:
    """Core-seconds of a fit, of a step where the model is trained in steps; and the fitted model."""
    kind = model_class(entry.family, entry.name)
    if entry.tags.trained_in_steps:
        n = TRAINED_IN_STEPS_ON
        data = TrainingData(data.spec, data.x[:n], data.y[:n], data.x_val[:n], data.y_val[:n])
    took = []
    model = None
    for steps in STEPS if entry.tags.trained_in_steps else (0,):
        seed_everything(0)
        model = build_model(kind, {"steps": steps} if steps else {})
        took.append(core_seconds(lambda model=model: model.fit(data, Trainer())))
    return (took[1] - took[0]) / (STEPS[1] - STEPS[0]) if len(took) > 1 else took[0], model


def evaluate_seconds(entry: catalog.ModelEntry, model, data: TrainingData) -> float:
    """Core-seconds of the calls that an evaluation makes of a model, for a few images."""
    x = data.x[:IMAGES]
    calls: list[Callable[[], object]] = [lambda name=name: getattr(model, name)(x) for name in EVALUATED if hasattr(model, name)]
    if hasattr(model, "sample") and not entry.tags.samples_are_real:
        calls.append(lambda: model.sample(IMAGES, data.y[:IMAGES] if entry.tags.conditional else None))
    with inference(model):
        return sum(core_seconds(call) for call in calls)


def enlarged(data: TrainingData, shape: tuple[int, ...]) -> TrainingData:
    """The same images in another size, with a little noise so that no pixels are equal."""

    def enlarge(x: Tensor) -> Tensor:
        if x.shape[1:] == shape:
            return x
        larger = torch.nn.functional.interpolate(x, shape[1:]).expand(-1, shape[0], -1, -1)
        return ((larger + 0.03 * torch.rand(larger.shape)).clamp(0, 1) * 16).round() / 16

    torch.manual_seed(0)
    spec = dataclasses.replace(data.spec, shape=shape)
    return TrainingData(spec, enlarge(data.x), data.y, enlarge(data.x_val), data.y_val)


def core_seconds(work: Callable[[], object]) -> float:
    """CPU time of this process for some work."""
    started = time.process_time()
    work()
    return time.process_time() - started


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
