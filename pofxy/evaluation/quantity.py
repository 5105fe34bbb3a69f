"""What a quantity is: a pure function whose parameters are facts or other quantities, as pytest's fixtures are.

    @quantity(rows="samples", source="feature_net {feature_net_hash}", redrawn=True)
    def sample_features(sample_pixels: Tensor, feature_net: SupportsEncode) -> Tensor:
        return predict_batched(feature_net, "encode", sample_pixels)

A file of evaluation/quantities/ may hold several. A parameter names a fact (facts.py), a quantity, or the fitted `model`; the
annotation of `model` is a protocol of base/capabilities.py and says what the model must be able to do. A parameter with a default
is optional. Nothing else is listed anywhere: which model gets which metric follows from this graph.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import Tensor

from pofxy.base.data import DataSpec
from pofxy.base.tags import tags_of

Function = TypeVar("Function", bound=Callable)

# A probe takes so many images that a prediction for all of them costs about PROBE_PASSES evaluations of the model's net, but at
# least MIN_PROBE_IMAGES, where a share still has an interval of at most +-10 %, and at most MAX_PROBE_IMAGES. The test split is
# in random order, so the first images are a fair sample. The number follows from the model's tags alone, never from a clock.
PROBE_PASSES = 1_000
MIN_PROBE_IMAGES = 100
MAX_PROBE_IMAGES = 500
# The same for log p(x) of the test split where it is found for its own sake.
LIKELIHOOD_PASSES = 100_000
MIN_LIKELIHOOD_IMAGES = 1_000


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


def n_probe_images(passes: int, most: int = MAX_PROBE_IMAGES) -> int:
    """Images that a probe takes of a model with so many passes for each, at most `most`."""
    return min(max(PROBE_PASSES // passes, MIN_PROBE_IMAGES), most)


def n_likelihood_images(passes: int) -> int:
    """Images whose log p(x) is found, of a model with so many passes for each."""
    return max(LIKELIHOOD_PASSES // passes, MIN_LIKELIHOOD_IMAGES)


def prediction_passes(model: object, spec: DataSpec) -> int:
    """Evaluations of the net for the label or log p(x) of one image, by the model's tags."""
    tags = tags_of(model)
    return tags.passes * (spec.classes if tags.passes_per_class else 1)


def inpainting_passes(model: object, spec: DataSpec) -> int:
    """Evaluations of the net that fill in one image, by the model's tags."""
    tags = tags_of(model)
    return (tags.inpainting_passes or math.prod(spec.shape)) * (spec.classes if tags.passes_per_class else 1)


def fixed_generator() -> torch.Generator:
    """The same random numbers for every model and seed, so that nothing but the models differs."""
    return torch.Generator().manual_seed(0)
