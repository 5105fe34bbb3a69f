"""What a fitted model is put through, beyond the test images as they are.

A probe is one file: one public function that takes what its parameters name (`model`, `x`, `y`, `spec`, `mean`) and gives
`Flags`; `NEEDS` names the verbs of which the model must have one, `CURVE` the curve that the flags make in curves.csv,
`IMAGES_ONLY` whether tables are left out. A metric that has the probe's name for a parameter gets the flags. What is drawn at
random is the same for every model.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Flags:
    """Where a classifier was right.

    Attributes:
        right: (N, conditions, places) bool.
        conditions: names.
        places: numbers along the curve, from 0 (nothing changed), the same for every condition.
    """

    right: Tensor
    conditions: tuple[str, ...]
    places: tuple[float, ...]


def generator() -> torch.Generator:
    """The same random numbers for every model and seed: what is compared is the models alone."""
    return torch.Generator().manual_seed(0)
