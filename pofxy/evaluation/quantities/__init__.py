"""What a fitted model is put through, beyond the test images as they are.

A probe is one file: one public function that takes what its parameters name and gives `ProbeResult`. It may name `model`; the test
images `x`, their labels `y`; `x_train` and `y_train`, random rows of the train split, and `mean`, its mean image; `spec`; the
feature net as `judge`; images of `others`, data sets of the same shape, by name. `NEEDS` names the capabilities of which the model must
have one, `CURVE` the curve that the values make in curves.csv, `UNIT` the unit of its means, `IMAGES_ONLY` whether tables are
left out. A metric that has the probe's name for a parameter gets the values. What is drawn at random is the same for every model.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ProbeResult:
    """What a probe found for every test image.

    Attributes:
        values: (N, conditions, places): bool where it says whether the label was right, else float.
        conditions: names.
        places: numbers along the curve, from 0 (nothing changed) where there is such a place; the same for every condition.
    """

    values: Tensor
    conditions: tuple[str, ...]
    places: tuple[float, ...]


def generator() -> torch.Generator:
    """The same random numbers for every model and seed: what is compared is the models alone."""
    return torch.Generator().manual_seed(0)
