"""Reads the splits that `preprocess` wrote, as tensors over memory-mapped files: all jobs on a machine share one copy."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pofxy.base.data import TrainingData
from pofxy.storage.models import load_spec


def load(path: Path | str) -> Tensor:
    """One .npy file as a tensor on the CPU.

    The file is mapped copy-on-write: a page is read when it is first used, and a change of the tensor does not reach the file.

    Args:
        path: of the file. Pickled arrays are refused.

    Raises:
        ValueError: where the file is not an array in NumPy's format.
        FileNotFoundError: where there is no such file.
    """
    return torch.from_numpy(np.load(path, mmap_mode="c", allow_pickle=False))


def load_split(x_file: Path | str, y_file: Path | str) -> tuple[Tensor, Tensor]:
    """One split: x float32 in [0, 1], (N, C, H, W) for images and (N, D) for a table, and its labels y (N,) int64."""
    return load(x_file), load(y_file)


def load_data(train: Sequence[Path | str], val: Sequence[Path | str], spec: Path | str) -> TrainingData:
    """The data that a model is fitted on.

    Args:
        train: the files of x and y of the train split.
        val: the files of x and y of the val split.
        spec: spec.json of the data set.
    """
    x, y = load_split(*train)
    x_val, y_val = load_split(*val)
    return TrainingData(load_spec(spec), x, y, x_val, y_val)
