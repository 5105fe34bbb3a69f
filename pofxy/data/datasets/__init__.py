"""What a data set gives, whatever it is made of.

A file of this folder holds one class: `download(folder, offered)` puts the raw files into `folder`, from the network or from
`offered`, where a user without one may have put them; `read(folder)` gives them as `LabelledData`.
"""

from dataclasses import dataclass

import numpy as np

from pofxy.base.public_class import public_class


class DatasetError(ValueError):
    """A data set is not what it should be; the message names the file or the class, and the cause."""


class DownloadError(DatasetError):
    """A data set cannot be had; the message says what to put where."""


@dataclass(frozen=True)
class LabelledData:
    """Labelled images, or rows of a table, as they come, before any split.

    Attributes:
        x: uint8 grey levels in 0..levels-1, (N, C, H, W); of a table float32 in [0, 1], (N, D).
        y: int64 labels in 0..K-1, (N,).
        levels: L; None for a table.
        class_names: K names.
        test_from: index of the first image of the official test split, which then ends the array; None where there is none.
        mirrors: whether a mirrored image is as likely and of the same class.
        distribution: the distribution that they were drawn from, as `laws.open_distribution` takes it; None where it is not known.
    """

    x: np.ndarray
    y: np.ndarray
    levels: int | None
    class_names: tuple[str, ...]
    test_from: int | None = None
    mirrors: bool = False
    distribution: dict | None = None


def open_dataset(of: str, arguments: dict):
    """An object of the one public class of datasets/{of}.py, made with these arguments."""
    return public_class(f"pofxy.data.datasets.{of}", "read")(**arguments)
