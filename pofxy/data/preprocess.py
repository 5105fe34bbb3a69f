"""Splits a data set, writes the splits as arrays that can be memory-mapped, and audits them."""

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np

from pofxy.data.datasets import DatasetError, LabelledData
from pofxy.data.known_distributions import open_distribution
from pofxy.storage.files import atomic, write_json

# Images or rows that are converted to float32 at once.
BLOCK = 4096


def preprocess(name: str, data: LabelledData, folder: Path, test: float = 0.2, val: float = 0.1, seed: int = 0) -> None:
    """Writes {train,val,test}_{x,y}.npy, spec.json and audit.json into `folder`.

    Args:
        name: of the data set.
        data: all images, or all rows of a table.
        folder: it is made where it does not exist.
        test: as in `split`.
        val: as in `split`.
        seed: as in `split`.

    Raises:
        DatasetError: where the data or the shares of the splits cannot be used.
    """
    parts = split(data, test, val, seed, name)
    write(data, parts, folder)
    write_json(folder / "spec.json", spec(name, data))
    official = data.test_from is not None
    settings = {"seed": seed, "val": val, "test": None if official else test, "official_test": official}
    write_json(folder / "audit.json", {"split": settings} | audit(data, parts, folder))


def split(
    data: LabelledData, test: float = 0.2, val: float = 0.1, seed: int = 0, name: str = "data set"
) -> dict[str, np.ndarray]:
    """Indices of the examples of each split, stratified by class.

    Each split is in random order, the official test split too: its first n examples are a random sample of it.

    Args:
        data: all images, or all rows of a table.
        test: share of all examples; used only where there is no official test split.
        val: share of all examples; where there is an official test split, share of the examples before it.
        seed: of the random split.
        name: of the data set, for error messages.

    Returns:
        "train", "val" and "test", each (n,) int64; together they hold every example once.

    Raises:
        DatasetError: where a class has too few examples for every split, there is only one class, labels are not 0..K-1, gray
            levels are not 0..L-1, or columns of a table are not in [0, 1].
    """
    _check(data, name)
    rest = np.arange(len(data.y) if data.test_from is None else data.test_from)
    n_val = _round_up(val, len(rest))
    if data.test_from is None:
        rest, test_index = _hold_out(data, rest, _round_up(test, len(rest)), "test", seed, name)
    else:
        test_index = np.random.default_rng(seed).permutation(np.arange(data.test_from, len(data.y)))
        _check_every_class(data, test_index, "test", name)
    train_index, val_index = _hold_out(data, rest, n_val, "val", seed, name)
    return {"train": train_index, "val": val_index, "test": test_index}


def write(data: LabelledData, parts: dict[str, np.ndarray], folder: Path) -> None:
    """Writes {part}_x.npy, float32 (n, C, H, W) = q / (L - 1), or (n, D) unchanged, and {part}_y.npy, int64 (n,).

    x is written in blocks: there is never a second copy of all images in memory.

    Args:
        data: all images, or all rows of a table.
        parts: indices by split, from `split`.
        folder: where the arrays go; each is written whole or not at all.
    """
    gray = None if data.levels is None else (np.arange(data.levels) / (data.levels - 1)).astype(np.float32)  # (L,)
    for part, index in parts.items():
        with atomic(folder / f"{part}_x.npy") as temporary:
            header = {"descr": "<f4", "fortran_order": False, "shape": (len(index), *data.x.shape[1:])}
            # Not a memory map: on a full disk, writing to a memory map kills the process without an error message.
            with open(temporary, "wb") as file:
                np.lib.format.write_array_header_1_0(file, header)
                for block in _blocks(data, index):
                    (block if gray is None else gray[block]).tofile(file)
        with atomic(folder / f"{part}_y.npy") as temporary:
            np.save(temporary, data.y[index].astype(np.int64))


def spec(name: str, data: LabelledData) -> dict:
    """The content of spec.json: the fields of `pofxy.base.data.DataSpec`."""
    return {
        "name": name,
        "shape": list(data.x.shape[1:]),
        "classes": len(data.class_names),
        "levels": data.levels,
        "class_names": list(data.class_names),
        "mirrors": data.mirrors,
        "distribution": data.distribution,
    }


def audit(data: LabelledData, parts: dict[str, np.ndarray], folder: Path) -> dict:
    """What a reader of the results should know about the data.

    Args:
        data: all images, or all rows of a table.
        parts: indices by split, from `split`.
        folder: holds the arrays that `write` wrote.

    Returns:
        counts: number of examples per class, by split.
        duplicates: exact ones. within_train: train examples that repeat an earlier one; val_in_train and test_in_train: examples
            of these splits that are also in train.
        constant_pixels, of a table constant_columns: how many of the D numbers of an x are the same in all of train.
        levels: declared, used (the number of distinct gray levels), lowest and highest; of a table instead columns: the lowest
            and the highest value of each column.
        known_distribution: where the data were sampled from one, the best possible scores, as its `ground_truth` gives them.
        sha256: of each file, by its name.
    """
    digests = {part: _digests(data, index) for part, index in parts.items()}
    train_digests = set(digests["train"])
    first = data.x[parts["train"][0]]  # (C, H, W) or (D,)
    constant = np.ones_like(first, bool)
    for block in _blocks(data, parts["train"]):
        constant &= (block == first).all(0)
    found = {
        "counts": {part: _counts(data, index).tolist() for part, index in parts.items()},
        "duplicates": {
            "within_train": len(digests["train"]) - len(train_digests),
            "val_in_train": sum(digest in train_digests for digest in digests["val"]),
            "test_in_train": sum(digest in train_digests for digest in digests["test"]),
        },
    }
    if data.levels is None:
        found["constant_columns"] = int(constant.sum())
        found["columns"] = {"lowest": data.x.min(0).tolist(), "highest": data.x.max(0).tolist()}
    else:
        found["constant_pixels"] = int(constant.sum())
        found["levels"] = _levels(data, parts)
    if data.distribution:
        found["known_distribution"] = open_distribution(data.distribution).ground_truth()
    arrays = [folder / f"{part}_{letter}.npy" for part in parts for letter in "xy"]
    found["sha256"] = {array.name: _sha256(array) for array in arrays}
    return found


def _levels(data: LabelledData, parts: dict[str, np.ndarray]) -> dict:
    used = np.zeros(256, bool)
    for index in parts.values():
        for block in _blocks(data, index):
            used |= np.bincount(block.ravel(), minlength=256) > 0
    levels = np.flatnonzero(used)
    return {"declared": data.levels, "used": len(levels), "lowest": int(levels[0]), "highest": int(levels[-1])}


def _round_up(share: float, total: int) -> int:
    """A share of a number of examples, rounded up. The 1e-9 keeps .07 * 100 = 7.000000000000001 at 7."""
    return math.ceil(share * total - 1e-9)


def _hold_out(
    data: LabelledData, index: np.ndarray, n_held_out: int, part: str, seed: int, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """The rest of the indices, and `n_held_out` of them that are held out for a split; both stratified and shuffled."""
    from sklearn.model_selection import train_test_split

    classes = len(data.class_names)
    if not classes <= n_held_out <= len(index) - classes:
        needed = f"{classes} classes need at least {classes}, and as many in the rest"
        raise DatasetError(f"{name}: split.{part}: {n_held_out} of {len(index)} {_examples(data)}; {needed}")
    _check_every_class(data, index, f"train and {part}", name, least=2)
    parts = train_test_split(index, test_size=n_held_out, stratify=data.y[index], random_state=seed)
    rest, held_out = cast(list[np.ndarray], parts)
    _check_every_class(data, rest, "train", name)
    _check_every_class(data, held_out, part, name)
    return rest, held_out


def _check_every_class(data: LabelledData, index: np.ndarray, part: str, name: str, least: int = 1) -> None:
    counts = _counts(data, index)
    k = int(counts.argmin())
    if counts[k] < least:
        total = int((data.y == k).sum())
        cause = f"class {data.class_names[k]} has too few {_examples(data)}"
        raise DatasetError(f"{name}: {cause}, {total} in all: {counts[k]} for {part}")


def _check(data: LabelledData, name: str) -> None:
    x = data.x
    y = data.y
    classes = len(data.class_names)
    ndim, dtype, shape = (2, "float32", "(N, D)") if data.levels is None else (4, "uint8", "(N, C, H, W)")
    if x.ndim != ndim or x.dtype != dtype or len(x) != len(y):
        actual = f"{x.dtype} {_examples(data)} {x.shape} and {len(y)} labels"
        raise DatasetError(f"{name}: {actual}; {dtype} {shape} and N labels are needed")
    if x.size == 0:
        raise DatasetError(f"{name}: there is no {'row or no column' if data.levels is None else 'image'}")
    if data.levels is None:
        _check_columns(x, name)
    elif x.max() >= data.levels:
        raise DatasetError(f"{name}: a pixel has gray level {x.max()}; with {data.levels} levels they are 0..{data.levels - 1}")
    if classes < 2:
        raise DatasetError(f"{name}: only one class, {', '.join(data.class_names)}; at least two are needed")
    if y.min() < 0 or y.max() >= classes:
        raise DatasetError(f"{name}: labels {y.min()}..{y.max()}; with {classes} classes they are 0..{classes - 1}")


def _check_columns(x: np.ndarray, name: str) -> None:
    if n_bad := int((~np.isfinite(x)).any(1).sum()):
        raise DatasetError(f"{name}: {n_bad} of {len(x)} rows have a number that is NaN or infinite")
    lowest = x.min(0)
    highest = x.max(0)
    outside = np.flatnonzero((lowest < 0) | (highest > 1))
    if len(outside):
        column = int(outside[0])
        bounds = f"column {column + 1} of {x.shape[1]} reaches from {lowest[column]:.4g} to {highest[column]:.4g}"
        raise DatasetError(f"{name}: {bounds}; all numbers must be in 0..1, scale them to it")


def _examples(data: LabelledData) -> str:
    return "rows" if data.levels is None else "images"


def _blocks(data: LabelledData, index: np.ndarray) -> Iterator[np.ndarray]:
    """The gray levels of a split in blocks, (B, C, H, W) uint8, or rows of a table, (B, D) float32."""
    for start in range(0, len(index), BLOCK):
        yield data.x[index[start : start + BLOCK]]


def _counts(data: LabelledData, index: np.ndarray) -> np.ndarray:
    """Number of examples of each class, (K,)."""
    return np.bincount(data.y[index], minlength=len(data.class_names))


def _digests(data: LabelledData, index: np.ndarray) -> list[bytes]:
    return [hashlib.blake2b(example.tobytes(), digest_size=16).digest() for block in _blocks(data, index) for example in block]


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
