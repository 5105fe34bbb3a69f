"""Cost of a run: seconds, parameters, bytes, memory."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pofxy.base.calibration import CalibratedClassifier
from pofxy.base.prediction import predict_batched
from pofxy.workflow.memory import peak_bytes

# Calls of `predict` that are timed, and the seconds after which there are fewer.
PREDICTION_REPEATS = 5
PREDICTION_SECONDS = 0.5


@contextmanager
def stopwatch() -> Iterator[dict[str, float]]:
    """Yields a dict that afterwards holds "seconds" of wall-clock time and "core_seconds" of this process."""
    took: dict[str, float] = {}
    wall = time.perf_counter()
    cores = time.process_time()
    try:
        yield took
    finally:
        took["seconds"] = round(time.perf_counter() - wall, 4)
        took["core_seconds"] = round(time.process_time() - cores, 4)


def count_parameters(model: Any) -> int:
    """The number of fitted numbers: a torch module's trainable parameters, or its buffers if it has none; an estimator's arrays.

    A model with numbers elsewhere (in trees, in support vectors) counts them itself, in a method of this name. A calibrated
    classifier has those of its correction as well.
    """
    if isinstance(model, CalibratedClassifier):
        return count_parameters(model.model) + model.count_correction()
    if hasattr(model, "count_parameters"):
        return int(model.count_parameters())
    if isinstance(model, torch.nn.Module):
        trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
        return sum(tensor.numel() for tensor in trainable or model.buffers())
    # scikit-learn ends the names of fitted attributes with "_".
    names = [name for name in vars(model.estimator) if name.endswith("_") and name not in ("classes_", "n_iter_")]
    values = [getattr(model.estimator, name) for name in names]
    return sum(value.size for value in values if isinstance(value, np.ndarray))


def milliseconds_to_predict(model: Any, x: Tensor) -> dict[str, float]:
    """Time of `predict` per image, median of several calls after a first one that does not count.

    Five calls are timed, or as many as fit into half a second, but at least one: what disturbs a long call is small beside it.

    Args:
        model: fitted.
        x: (N, ...); with fewer than 256 rows, the batch is all of them.

    Returns:
        "predict_ms_single" for one image alone, "predict_ms_per_image" in a batch of 256.
    """

    def median_per_image(images: Tensor) -> float:
        first = seconds_to_predict(images)
        all_fit = PREDICTION_REPEATS * first <= PREDICTION_SECONDS
        repeats = PREDICTION_REPEATS if all_fit else max(int(PREDICTION_SECONDS / first), 1)
        return 1000 * float(np.median([seconds_to_predict(images) for _ in range(repeats)])) / len(images)

    def seconds_to_predict(images: Tensor) -> float:
        started = time.perf_counter()
        predict_batched(model, "predict", images)
        return time.perf_counter() - started

    return {"predict_ms_single": median_per_image(x[:1]), "predict_ms_per_image": median_per_image(x[:256])}


def folder_bytes(folder: Path | str) -> int:
    """Size of all files below a folder, in bytes."""
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def peak_megabytes() -> float:
    """Largest resident memory of this process so far, in MB (10^6 bytes)."""
    return round(peak_bytes() / 1e6, 1)
