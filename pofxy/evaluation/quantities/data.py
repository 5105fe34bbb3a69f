"""Parts of the data that quantities share."""

import math

import numpy as np
import torch
from torch import Tensor

from pofxy.base.capabilities import Model, SupportsInpaint
from pofxy.base.data import DataSpec
from pofxy.base.passes import inpainting_passes, n_probe_images, prediction_passes
from pofxy.evaluation.quantity import NotApplicable, quantity

# Train rows that a probe may learn from, and that a classifier of samples may see besides.
MAX_TRAIN_ROWS = 10_000


@quantity(kept=False)
def dimensions(spec: DataSpec) -> int:
    """D, the number of values of one image, or of columns of a table."""
    return math.prod(spec.shape)


@quantity(kept=False)
def levels(spec: DataSpec) -> int:
    """L, the number of gray levels."""
    if spec.levels is None:
        raise NotApplicable("a table has no gray levels")
    return spec.levels


@quantity(kept=False)
def input_kind(spec: DataSpec) -> str:
    """What a distance between raw inputs is taken over."""
    return "pixels" if len(spec.shape) == 3 else "columns"


@quantity(rows="test", kept=False)
def x_probe(model: Model, spec: DataSpec, x: Tensor) -> Tensor:
    """The test images that a probe takes, (P, ...): fewer of a model that predicts by many passes of its net."""
    return x[: n_probe_images(prediction_passes(model, spec))]


@quantity(rows="test", kept=False)
def y_probe(y: Tensor, x_probe: Tensor) -> Tensor:
    """Their labels, (P,)."""
    return y[: len(x_probe)]


@quantity(rows="test", kept=False)
def x_masked(model: SupportsInpaint, spec: DataSpec, x: Tensor) -> Tensor:
    """The test images of which a part is hidden and filled in, (M, ...), by the passes that this takes."""
    return x[: n_probe_images(inpainting_passes(model, spec))]


@quantity(rows="test", kept=False)
def y_masked(y: Tensor, x_masked: Tensor) -> Tensor:
    """Their labels, (M,)."""
    return y[: len(x_masked)]


@quantity(kept=False)
def x_train_subset(x_train: Tensor) -> Tensor:
    """The train rows that a probe may learn from, (M', ...): the same for every seed, so that nothing but the models differs."""
    return x_train[_train_rows(len(x_train))]


@quantity(kept=False)
def y_train_subset(x_train: Tensor, y_train: Tensor) -> Tensor:
    """Their labels, (M',)."""
    return y_train[_train_rows(len(x_train))]


@quantity(kept=False)
def train_mean(x_train: Tensor) -> Tensor:
    """The mean train image, (...): what a classifier is given in place of a pixel that is missing."""
    return x_train.mean(0)


def random_rows(seed: int, total: int, n: int) -> Tensor:
    """n of `total` row numbers at random, in order, (n,): the same for every model of a seed."""
    return torch.from_numpy(np.sort(np.random.default_rng(seed).permutation(total)[:n]))


def _train_rows(total: int) -> Tensor:
    return torch.randperm(total, generator=torch.Generator().manual_seed(0))[:MAX_TRAIN_ROWS]
