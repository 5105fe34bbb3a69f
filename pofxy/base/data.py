"""What a model is fitted on: the facts of a data set, and its train and val split.

A pixel of an L-level image is one of 0, 1/(L-1), .. 1. Its bin is the interval of width 1/(L-1) around it; a density of images is
one over these coordinates, and uniform dequantization samples a point of the bin (`dequantize`).
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class DataSpec:
    """Facts of a data set that are known before any of its data is read.

    Attributes:
        name: of the data set.
        shape: of one x: (C, H, W) or (D,).
        classes: K, the number of classes.
        levels: L, the number of gray levels; None for tables.
        class_names: K names, in the order of the labels.
        mirrors: whether a mirrored image is as likely and of the same class: true for photographs, not for digits.
        distribution: the known distribution that the data were sampled from, as `open_distribution` takes it; None for real data.
    """

    name: str
    shape: tuple[int, ...]
    classes: int
    levels: int | None
    class_names: tuple[str, ...]
    mirrors: bool = False
    distribution: dict | None = None


@dataclass(frozen=True)
class TrainingData:
    """What a model is fitted on: the train split, and the val split for every choice in its fit. Never the test split."""

    spec: DataSpec
    x: Tensor
    y: Tensor
    x_val: Tensor
    y_val: Tensor


def validation_splits(data: TrainingData, folds: int = 5) -> list[TrainingData]:
    """The splits by which a model chooses a setting in its fit: fitted to the train part of each, scored on its val part.

    Usually the data's own train and val split. A subset of a learning curve has no val split but itself, on which the least
    regularized setting would always win: there it is cross-validation on stratified folds of the subset.

    Returns:
        One split or more; none where a class has a single image, so that nothing can be held out.
    """
    if data.x_val is not data.x:
        return [data]
    counts = torch.bincount(data.y, minlength=data.spec.classes)
    folds = min(folds, int(counts.min()))
    if folds < 2:
        return []
    # The fold of an image is its rank within its class, modulo the number of folds.
    order = data.y.argsort(stable=True)
    rank = torch.empty_like(order)
    rank[order] = torch.cat([torch.arange(int(count)) for count in counts])
    parts = [rank % folds == fold for fold in range(folds)]
    return [TrainingData(data.spec, data.x[~part], data.y[~part], data.x[part], data.y[part]) for part in parts]


def check_data(data: TrainingData) -> None:
    """Raises ValueError, which names the data set, where no model at all could be fitted to the data."""
    name, classes = data.spec.name, data.spec.classes
    for part, x, y in (("train", data.x, data.y), ("val", data.x_val, data.y_val)):
        if tuple(x.shape[1:]) != data.spec.shape or len(x) != len(y):
            raise ValueError(
                f"{name}: {part} has x {tuple(x.shape)} and y {tuple(y.shape)}; x of shape (N, {data.spec.shape}) is needed"
            )
        # The sum of finite numbers of modest size is finite, and needs no copy of them.
        if not torch.isfinite(x.sum()) and (bad := int((~x.isfinite()).flatten(1).any(1).sum())):
            raise ValueError(f"{name}: {bad} of {len(x)} rows of {part} have a number that is NaN or infinite")
        if y.min() < 0 or y.max() >= classes:
            raise ValueError(
                f"{name}: {part} has labels {int(y.min())}..{int(y.max())}; with {classes} classes they are 0..{classes - 1}"
            )
    counts = torch.bincount(data.y, minlength=classes)
    if (counts == 0).any():
        missing = data.spec.class_names[int(counts.argmin())]
        raise ValueError(f"{name}: class {missing} has no example in train; every class needs one")
    if classes < 2:
        raise ValueError(f"{name}: one class only; two are needed at least")


def dequantize(x: Tensor, levels: int) -> Tensor:
    """A uniform point of each pixel's bin: x + (u - 1/2) / (L - 1), u ~ U[0, 1). Same shape as x."""
    return x + (torch.rand_like(x) - 0.5) / (levels - 1)
