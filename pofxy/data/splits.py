"""The splits that preprocess wrote, as tensors over memory-mapped files: many jobs share one copy."""

from pathlib import Path

import numpy as np
import torch

from pofxy.base.data import TrainingData
from pofxy.storage.models import load_spec


def load(path: Path | str) -> torch.Tensor:
    """One .npy file, mapped copy-on-write: nothing is read before it is used, nothing is written back."""
    return torch.from_numpy(np.load(path, mmap_mode="c", allow_pickle=False))


def load_split(x_file: Path | str, y_file: Path | str) -> tuple[torch.Tensor, torch.Tensor]:
    """x (N, ...) float32 and y (N,) int64."""
    return load(x_file), load(y_file)


def load_data(train: list[str], val: list[str], spec: str) -> TrainingData:
    """What a model is fitted on, from the files of the train and the val split."""
    return TrainingData(load_spec(spec), *load_split(*train), *load_split(*val))
