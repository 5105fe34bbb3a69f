"""What a run costs: seconds, parameters, bytes, memory."""

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from pofxy.base.prediction import predict_batched


@contextmanager
def stopwatch() -> Iterator[dict[str, float]]:
    """Gives a dict that afterwards holds "seconds" on the clock and "core_seconds" of this process."""
    took: dict[str, float] = {}
    wall, cores = time.perf_counter(), time.process_time()
    try:
        yield took
    finally:
        took["seconds"] = round(time.perf_counter() - wall, 4)
        took["core_seconds"] = round(time.process_time() - cores, 4)


def count_parameters(model) -> int:
    """Numbers that were fitted: a torch module's trainable parameters, or its buffers if it has none; an estimator's arrays.

    A model whose numbers lie elsewhere (in trees, in support vectors) counts them itself: `count_parameters()`.
    """
    if hasattr(model, "count_parameters"):
        return int(model.count_parameters())
    if isinstance(model, torch.nn.Module):
        trained = [p for p in model.parameters() if p.requires_grad]
        return sum(tensor.numel() for tensor in trained or model.buffers())
    fitted = {
        name: value for name, value in vars(model.estimator).items() if name.endswith("_") and name not in ("classes_", "n_iter_")
    }
    return sum(value.size for value in fitted.values() if isinstance(value, np.ndarray))


def milliseconds_to_predict(model, x, repeats: int = 5) -> dict[str, float]:
    """Median times of `predict` per image, after a first call that is not counted: one image alone, and in a batch of 256.

    Args:
        model: fitted.
        x: (N, ...); with fewer than 256 rows, the batch is all of them.
        repeats: calls that are timed.
    """

    def median(part):
        predict_batched(model, "predict", part)
        seconds = []
        for _ in range(repeats):
            started = time.perf_counter()
            predict_batched(model, "predict", part)
            seconds.append(time.perf_counter() - started)
        return 1000 * float(np.median(seconds)) / len(part)

    return {"predict_ms_single": median(x[:1]), "predict_ms_per_image": median(x[:256])}


def folder_bytes(folder: Path | str) -> int:
    """Bytes of the files of a folder."""
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def peak_megabytes() -> float:
    """The largest resident size of this process so far, in MB (10^6 bytes)."""
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)
