"""Data sets: where their raw files come from, and how they are read.

A file of this package holds one public class, which is a `Dataset`. A class attribute `table = True` marks a table;
`distribution = "name"` marks a data set that was sampled from a known distribution, and names it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from pofxy.base.public_class import public_class


class DatasetError(ValueError):
    """A data set cannot be used; the message names the file or the class, and the cause."""


class DownloadError(DatasetError):
    """A file cannot be downloaded; the message says which files to put where."""


@dataclass(frozen=True)
class LabelledData:
    """Labelled images, or rows of a table, before any split.

    Attributes:
        x: uint8 gray levels in 0..L-1, (N, C, H, W); of a table float32 in [0, 1], (N, D).
        y: int64 labels in 0..K-1, (N,).
        levels: L, the number of gray levels; None for a table.
        class_names: K names, in the order of the labels.
        test_from: index of the first image of the official test split, which is the end of the array; None where there is none.
        mirrors: whether a mirrored image is as probable and of the same class.
        distribution: the distribution that the data were sampled from, as `known_distributions.open_distribution` takes it; None
            where it is not known.
    """

    x: np.ndarray
    y: np.ndarray
    levels: int | None
    class_names: tuple[str, ...]
    test_from: int | None = None
    mirrors: bool = False
    distribution: dict | None = None


class Dataset(Protocol):
    """A source of labelled data. The arguments of `__init__` are what a config may set."""

    def download(self, folder: Path, offered: Path) -> None:
        """Puts the raw files into `folder`.

        Args:
            folder: an existing, empty folder.
            offered: a folder in which a user without a network may have put the files; it need not exist.

        Raises:
            DatasetError: where the files cannot be had, or are not what they should be.
        """
        ...

    def read(self, folder: Path) -> LabelledData:
        """All data of the raw files that `download` put into `folder`.

        Raises:
            DatasetError: for a broken file.
        """
        ...


def open_dataset(of: str, arguments: dict):
    """An object of the one public class of datasets/{of}.py, made with these arguments."""
    return public_class(f"pofxy.data.datasets.{of}", "read")(**arguments)
