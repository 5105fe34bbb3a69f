"""What a quantity is: a pure function whose parameters are facts or other quantities, as pytest's fixtures are.

    @quantity(rows="samples", source="feature_net {feature_net_hash}", redrawn=True)
    def sample_features(sample_pixels: Tensor, feature_net: SupportsEncode) -> Tensor:
        return predict_batched(feature_net, "encode", sample_pixels)

A file of evaluation/quantities/ may hold several. A parameter names a fact (facts.py), a quantity, or the fitted `model`; the
annotation of `model` is a protocol of base/capabilities.py and says what the model must be able to do. A parameter with a default
is optional. Nothing else is listed anywhere: which model gets which metric follows from this graph.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import Tensor

Function = TypeVar("Function", bound=Callable)


class NotApplicable(Exception):
    """A quantity makes no sense for this model or data set: whatever needs it is left out. The message says why."""


def quantity(
    *,
    rows: Literal["", "test", "train", "samples"] = "",
    source: str = "",
    redrawn: bool = False,
    images_only: bool = False,
    curve: str = "",
    unit: str = "",
    gallery: str = "",
    kept: bool = True,
) -> Callable[[Function], Function]:
    """Marks a function as a quantity. The catalog reads the arguments from the source text, so they are literals.

    Args:
        rows: what the first axis of its value counts; "" where it has no such axis. A bootstrap draws rows of one kind together.
        source: what the provenance of a score says of it; quantities in braces are filled in.
        redrawn: whether it is computed anew for each further set of samples of a reference (the tag `n_redraws`).
        images_only: whether it makes no sense for tables.
        curve: of a quantity that is a ProbeResult, the curve of curves.csv that its means make.
        unit: of that curve.
        gallery: of a quantity that is a Gallery, the name of the picture's file.
        kept: whether its value is worth a place on the disk: not where it is a part of its arguments.
    """

    def mark(function: Function) -> Function:
        return function

    return mark


@dataclass(frozen=True)
class ProbeResult:
    """What a probe measured for every test image.

    Attributes:
        values: (N, conditions, places): bool where it says whether the label was right, else float.
        conditions: names.
        places: numbers along the curve, from 0 (nothing changed) where there is such a place; the same for every condition.
    """

    values: Tensor
    conditions: tuple[str, ...]
    places: tuple[float, ...]


@dataclass(frozen=True)
class Gallery:
    """Images to look at.

    Attributes:
        images: (n, C, H, W) in [0, 1].
        columns: images in a row.
        height: of one image in the grid, in pixels.
        caption: what they show, a sentence for the report; "" where the report knows it.
    """

    images: Tensor
    columns: int
    height: int = 56
    caption: str = ""


def fixed_generator() -> torch.Generator:
    """The same random numbers for every model and seed, so that nothing but the models differs."""
    return torch.Generator().manual_seed(0)
