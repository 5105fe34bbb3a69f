"""CIFAR-10: 60,000 color photographs of 32 x 32 pixels in ten classes, 10,000 of them the official test split.

This reads the binary version. torchvision reads the Python version, whose files are pickles; loading a pickle can execute code.

Reference: A. Krizhevsky, "Learning multiple layers of features from tiny images", technical report, University of Toronto, 2009.
https://www.cs.toronto.edu/~kriz/cifar.html
"""

import math
import tarfile
import zlib
from pathlib import Path

import numpy as np

from pofxy.data.datasets import DatasetError, LabelledData
from pofxy.data.datasets._torchvision import fetch

FILE = "cifar-10-binary.tar.gz"
MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
MIRRORS = ["https://www.cs.toronto.edu/~kriz/"]
MEMBERS = [*(f"cifar-10-batches-bin/data_batch_{number}.bin" for number in range(1, 6)), "cifar-10-batches-bin/test_batch.bin"]
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SHAPE = (3, 32, 32)


class CIFAR10:
    """Downloaded from its author's page, 162 MB."""

    rows = 60_000
    official_test = 10_000
    shape = (3, 32, 32)

    def download(self, folder: Path, offered: Path) -> None:
        """Puts the published archive into `folder`."""
        fetch([(FILE, MD5)], MIRRORS, folder, offered)

    def read(self, folder: Path) -> LabelledData:
        """All images, (60000, 3, 32, 32), the last 10,000 for test. Raises DatasetError for a broken archive."""
        *train, test = _read_batches(folder / FILE)
        records = np.concatenate([*train, test])  # (N, 1 + D): the label, then the red, green and blue pixels
        return LabelledData(
            x=records[:, 1:].reshape(-1, *SHAPE),  # a view, no copy: in memory the labels stay between the images
            y=records[:, 0].astype(np.int64),
            levels=256,
            class_names=CLASSES,
            test_from=len(records) - len(test),
            mirrors=True,
        )


def _read_batches(path: Path) -> list[np.ndarray]:
    """The records of each file of the archive, (n, 1 + D) uint8, train batches first. Nothing is extracted to the disk."""
    batches = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                # Regular files only: `extractfile` would follow a link to another member.
                if member.name in MEMBERS and member.isfile() and (file := archive.extractfile(member)):
                    batches[member.name] = file.read()
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise DatasetError(f"{path}: truncated or not readable ({error})") from None
    return [_records(path, name, batches.get(name, b"")) for name in MEMBERS]


def _records(path: Path, name: str, content: bytes) -> np.ndarray:
    length = 1 + math.prod(SHAPE)
    if not content or len(content) % length:
        raise DatasetError(f"{path}: {name} has {len(content)} bytes, not a multiple of {length}, one image and its label")
    records = np.frombuffer(content, np.uint8).reshape(-1, length)
    if records[:, 0].max() >= len(CLASSES):
        raise DatasetError(f"{path}: {name} has a label {records[:, 0].max()}, but there are {len(CLASSES)} classes")
    return records
