"""The IDX format of MNIST's files: a magic number, the sizes, then the bytes, gzipped or not.

The magic number is two zero bytes, the type of the entries and the number of sizes; each size is a big-endian 32-bit integer.
"""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from pofxy.data.datasets import DatasetError, LabelledData

# The format's codes for the type of an entry.
UNSIGNED_BYTE = 0x08
OTHER_TYPES = {0x09: "signed bytes", 0x0B: "16-bit integers", 0x0C: "32-bit integers", 0x0D: "floats", 0x0E: "doubles"}


def find_pairs(folder: Path) -> list[tuple[Path, Path]]:
    """The (images, labels) files of a folder: train first, then test where there are two pairs.

    Raises:
        DatasetError: where a file of a pair is missing, or two files have the same role.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: there is no such folder")
    train, *test = [_find_pair(folder, prefix) for prefix in ("train", "t10k", "test")]
    pairs = [pair for pair in (train, *test) if pair]
    if not pairs:
        raise DatasetError(f"{folder}: no IDX files; train-images* and train-labels* are needed, t10k-* or test-* may be there")
    if all(test):
        raise DatasetError(f"{folder}: both t10k-* and test-*; keep one")
    return pairs


def read_images(folder: Path, class_names: tuple[str, ...] | None = None) -> LabelledData:
    """All images of a folder of IDX files, 256 gray levels; a second pair of files is the official test split.

    Args:
        folder: holds what `find_pairs` finds.
        class_names: K names; the labels themselves where None.

    Raises:
        DatasetError: names the file and what is wrong with it.
    """
    pairs = find_pairs(folder)
    parts = [_read_pair(*pair) for pair in pairs]
    if len({images.shape[1:] for images, _ in parts}) > 1:
        raise DatasetError(f"{pairs[1][0]}: images of {_size(parts[1][0])}, but {_size(parts[0][0])} in {pairs[0][0].name}")
    y = np.concatenate([labels for _, labels in parts])
    _check_labels(y, pairs[0][1], class_names)
    return LabelledData(
        x=np.concatenate([images for images, _ in parts]) if len(parts) > 1 else parts[0][0],
        y=y,
        levels=256,
        class_names=class_names or tuple(str(k) for k in range(y.max() + 1)),
        test_from=len(parts[0][1]) if len(parts) > 1 else None,
    )


def read_array(path: Path) -> np.ndarray:
    """The content of one IDX file in the shape that its header states; read-only, uint8.

    Raises:
        DatasetError: for a file that is not IDX, holds another type, is shorter or longer than its header states, or is broken
            gzip.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            magic = file.read(4)
            if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in {UNSIGNED_BYTE, *OTHER_TYPES}:
                raise DatasetError(f"{path}: not an IDX file (its magic number is {magic.hex() or 'missing'})")
            if magic[2] != UNSIGNED_BYTE:
                raise DatasetError(f"{path}: holds {OTHER_TYPES[magic[2]]}; only unsigned bytes are read")
            header = file.read(4 * magic[3])
            if len(header) < 4 * magic[3]:
                raise DatasetError(f"{path}: truncated, it ends within its header")
            shape = tuple(int(size) for size in np.frombuffer(header, ">u4"))
            content = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{path}: truncated or not readable ({error})") from None
    if len(content) != math.prod(shape):
        fault = "truncated" if len(content) < math.prod(shape) else "too long"
        stated = f"{' x '.join(map(str, shape))} = {math.prod(shape)}"
        raise DatasetError(f"{path}: {fault}, {len(content)} bytes where its header states {stated}")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _find_pair(folder: Path, prefix: str) -> tuple[Path, Path] | None:
    images = sorted(folder.glob(f"{prefix}-images*"))
    labels = sorted(folder.glob(f"{prefix}-labels*"))
    for files in (images, labels):
        if len(files) > 1:
            raise DatasetError(f"{folder}: {' and '.join(file.name for file in files)}: only one of them can be read; keep one")
    if len(images) != len(labels):
        present = (images or labels)[0].name
        missing = "labels" if images else "images"
        raise DatasetError(f"{folder}: {present} is there, but no {prefix}-{missing}*")
    return (images[0], labels[0]) if images else None


def _read_pair(images_file: Path, labels_file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, C, H, W) uint8 and labels (N,) int64 of one pair of files."""
    images = read_array(images_file)
    labels = read_array(labels_file)
    if images.ndim not in (3, 4):
        raise DatasetError(f"{images_file}: {images.ndim} sizes; images have 3 (N, H, W) or 4 (N, H, W, C)")
    if labels.ndim != 1:
        raise DatasetError(f"{labels_file}: {labels.ndim} sizes; labels have 1 (N,)")
    if images.size == 0:
        raise DatasetError(f"{images_file}: holds no image")
    if len(images) != len(labels):
        raise DatasetError(f"{labels_file}: {len(labels)} labels for the {len(images)} images of {images_file.name}")
    if images.ndim == 4 and images.shape[3] not in (1, 3):
        raise DatasetError(f"{images_file}: {images.shape[3]} channels; 1 or 3 are read, as the last of (N, H, W, C)")
    images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)  # (N, C, H, W)
    return images, labels.astype(np.int64)


def _check_labels(y: np.ndarray, file: Path, class_names: tuple[str, ...] | None) -> None:
    absent = np.flatnonzero(np.bincount(y) == 0)
    if len(absent):
        raise DatasetError(f"{file}: labels go up to {y.max()}, but none is {absent[0]}; they must be 0..K-1")
    if class_names and y.max() >= len(class_names):
        raise DatasetError(f"{file}: label {y.max()}, but there are {len(class_names)} classes")


def _size(images: np.ndarray) -> str:
    _, channels, height, width = images.shape
    return f"{height} x {width} pixels and {channels} channel{'s' if channels > 1 else ''}"
