"""Splits a data set, writes it as arrays that can be memory-mapped, and audits what was written."""

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pofxy.data.datasets import DatasetError, LabelledData
from pofxy.data.known_distributions import open_distribution
from pofxy.storage.files import atomic, write_json

# Images turned into float32 at once.
BLOCK = 4096


def preprocess(name: str, images: LabelledData, folder: Path, test: float = 0.2, val: float = 0.1, seed: int = 0) -> None:
    """Writes {train,val,test}_{x,y}.npy, spec.json and audit.json into `folder`.

    Args:
        name: of the data set.
        images: all of them, or the rows of a table.
        folder: it exists or is made.
        test, val, seed: as in `split`.

    Raises:
        DatasetError: where the images or the split cannot serve.
    """
    parts = split(images, test, val, seed, name)
    write(images, parts, folder)
    write_json(folder / "spec.json", spec(name, images))
    official = images.test_from is not None
    shares = {"seed": seed, "val": val, "test": None if official else test, "official_test": official}
    write_json(folder / "audit.json", {"split": shares} | audit(images, parts, folder))


def split(
    images: LabelledData, test: float = 0.2, val: float = 0.1, seed: int = 0, name: str = "data set"
) -> dict[str, np.ndarray]:
    """Indices of the images of each split, stratified by class.

    Each split is in an order that the seed draws, the official test split too: the first n of it are a fair sample.

    Args:
        images: all of them.
        test: share of all images, heeded only where there is no official test split.
        val: share of all images; of those before the official test split where there is one.
        seed: of the draw.
        name: of the data set, for the errors.

    Returns:
        "train", "val" and "test", each (n,) int64; together every image once.

    Raises:
        DatasetError: where a class cannot stand in each split, there is one class only, labels are not 0..K-1, grey levels are
            not 0..L-1, or columns of a table not in [0, 1].
    """
    _check(images, name)
    rest = np.arange(len(images.y) if images.test_from is None else images.test_from)
    held_out = _number(val, len(rest))
    if images.test_from is None:
        rest, tested = _hold_out(images, rest, _number(test, len(rest)), "test", seed, name)
    else:
        tested = np.random.default_rng(seed).permutation(np.arange(images.test_from, len(images.y)))
        _check_every_class(images, tested, "test", name)
    train, validated = _hold_out(images, rest, held_out, "val", seed, name)
    return {"train": train, "val": validated, "test": tested}


def write(images: LabelledData, parts: dict[str, np.ndarray], folder: Path) -> None:
    """Writes {part}_x.npy, float32 (n, C, H, W) = q / (L - 1) or (n, D) as it is, and {part}_y.npy, int64 (n,).

    x goes to the disk in blocks: no second copy of the images is ever in memory.

    Args:
        images: all of them.
        parts: indices, as `split` gives them.
        folder: where the arrays go; each takes its place only when it is whole.
    """
    grey = None if images.levels is None else (np.arange(images.levels) / (images.levels - 1)).astype(np.float32)  # (L,)
    for part, index in parts.items():
        with atomic(folder / f"{part}_x.npy") as temporary:
            header = {"descr": "<f4", "fortran_order": False, "shape": (len(index), *images.x.shape[1:])}
            # Not a memory map: on a full disk a write to one ends the process without a word.
            with open(temporary, "wb") as file:
                np.lib.format.write_array_header_1_0(file, header)
                for block in _blocks(images, index):
                    (block if grey is None else grey[block]).tofile(file)
        with atomic(folder / f"{part}_y.npy") as temporary:
            np.save(temporary, images.y[index].astype(np.int64))


def spec(name: str, images: LabelledData) -> dict:
    """The content of spec.json: the fields of `protocol.Spec`."""
    return {
        "name": name,
        "shape": list(images.x.shape[1:]),
        "classes": len(images.class_names),
        "levels": images.levels,
        "class_names": list(images.class_names),
        "mirrors": images.mirrors,
        "distribution": images.distribution,
    }


def audit(images: LabelledData, parts: dict[str, np.ndarray], folder: Path) -> dict:
    """What a reader of the results should know of the data.

    Args:
        images: all of them.
        parts: indices, as `split` gives them.
        folder: holds the arrays that `write` wrote.

    Returns:
        counts: images per class, by split.
        duplicates: exact ones. within_train: train images that repeat an earlier one; val_in_train and test_in_train: images of
            these splits that also are train images.
        constant_pixels, of a table constant_columns: of the D numbers of an x, those that are the same in all of train.
        levels: declared, used (how many distinct ones), lowest and highest; of a table, columns: lowest and highest of each.
        distribution: where it is known, what no model can beat, as its `truth` says.
        sha256: of each file, by its name.
    """
    digests = {part: _digests(images, index) for part, index in parts.items()}
    known = set(digests["train"])
    first = images.x[parts["train"][0]]  # (C, H, W) or (D,)
    constant = np.ones_like(first, bool)
    for block in _blocks(images, parts["train"]):
        constant &= (block == first).all(0)
    arrays = [folder / f"{part}_{letter}.npy" for part in parts for letter in "xy"]
    return {
        "counts": {part: _counts(images, index) for part, index in parts.items()},
        "duplicates": {
            "within_train": len(digests["train"]) - len(known),
            "val_in_train": sum(digest in known for digest in digests["val"]),
            "test_in_train": sum(digest in known for digest in digests["test"]),
        },
        f"constant_{'columns' if images.levels is None else 'pixels'}": int(constant.sum()),
        **(_columns(images) if images.levels is None else _levels(images, parts)),
        **({"distribution": open_distribution(images.distribution).truth()} if images.distribution else {}),
        "sha256": {array.name: _sha256(array) for array in arrays},
    }


def _levels(images: LabelledData, parts: dict[str, np.ndarray]) -> dict:
    used = np.zeros(256, bool)
    for index in parts.values():
        for block in _blocks(images, index):
            used |= np.bincount(block.ravel(), minlength=256) > 0
    levels = np.flatnonzero(used)
    found = {"declared": images.levels, "used": len(levels), "lowest": int(levels[0]), "highest": int(levels[-1])}
    return {"levels": found}


def _columns(images: LabelledData) -> dict:
    return {"columns": {"lowest": images.x.min(0).tolist(), "highest": images.x.max(0).tolist()}}


def _number(share: float, of: int) -> int:
    """A share in whole images, rounded up; the small number keeps .07 * 100 = 7.000000000000001 at 7."""
    return math.ceil(share * of - 1e-9)


def _hold_out(
    images: LabelledData, index: np.ndarray, number: int, part: str, seed: int, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """What is left of the indices, and `number` of them that are held out for a split, both stratified and shuffled."""
    from sklearn.model_selection import train_test_split

    classes = len(images.class_names)
    if not classes <= number <= len(index) - classes:
        needed = f"{classes} classes need {classes} at least, and as many left"
        raise DatasetError(f"{name}: split.{part}: {number} of {len(index)} {_things(images)}; {needed}")
    _check_every_class(images, index, f"train and {part}", name, least=2)
    rest, held_out = train_test_split(index, test_size=number, stratify=images.y[index], random_state=seed)
    _check_every_class(images, rest, "train", name)
    _check_every_class(images, held_out, part, name)
    return rest, held_out


def _check_every_class(images: LabelledData, index: np.ndarray, part: str, name: str, least: int = 1) -> None:
    count = np.bincount(images.y[index], minlength=len(images.class_names))
    k = int(count.argmin())
    if count[k] < least:
        total = int((images.y == k).sum())
        few = f"class {images.class_names[k]} has too few {_things(images)}"
        raise DatasetError(f"{name}: {few}, {total} in all: {count[k]} for {part}")


def _check(images: LabelledData, name: str) -> None:
    x, y, levels, classes = images.x, images.y, images.levels, len(images.class_names)
    ndim, dtype, shape = (2, "float32", "(N, D)") if levels is None else (4, "uint8", "(N, C, H, W)")
    if x.ndim != ndim or x.dtype != dtype or len(x) != len(y):
        found = f"{x.dtype} {_things(images)} {x.shape} and {len(y)} labels"
        raise DatasetError(f"{name}: {found}; {dtype} {shape} and N are needed")
    if x.size == 0:
        raise DatasetError(f"{name}: there is no {'row or no column' if levels is None else 'image'}")
    if levels is None:
        _check_columns(x, name)
    elif x.max() >= levels:
        raise DatasetError(f"{name}: a pixel has grey level {x.max()}; with {levels} levels they are 0..{levels - 1}")
    if classes < 2:
        raise DatasetError(f"{name}: one class only, {', '.join(images.class_names)}; two are needed at least")
    if y.min() < 0 or y.max() >= classes:
        raise DatasetError(f"{name}: labels {y.min()}..{y.max()}; with {classes} classes they are 0..{classes - 1}")


def _check_columns(x: np.ndarray, name: str) -> None:
    if bad := int((~np.isfinite(x)).any(1).sum()):
        raise DatasetError(f"{name}: {bad} of {len(x)} rows have a number that is NaN or infinite")
    lowest, highest = x.min(0), x.max(0)
    if wrong := np.flatnonzero((lowest < 0) | (highest > 1)).tolist():
        reach = f"column {wrong[0] + 1} of {x.shape[1]} reaches from {lowest[wrong[0]]:.4g} to {highest[wrong[0]]:.4g}"
        raise DatasetError(f"{name}: {reach}; numbers must lie in 0..1, scale them to it")


def _things(images: LabelledData) -> str:
    return "rows" if images.levels is None else "images"


def _blocks(images: LabelledData, index: np.ndarray) -> Iterator[np.ndarray]:
    """The grey levels of a split, (B, C, H, W) uint8 at once, or rows of a table, (B, D) float32."""
    for start in range(0, len(index), BLOCK):
        yield images.x[index[start : start + BLOCK]]


def _counts(images: LabelledData, index: np.ndarray) -> list[int]:
    return np.bincount(images.y[index], minlength=len(images.class_names)).tolist()


def _digests(images: LabelledData, index: np.ndarray) -> list[bytes]:
    return [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for block in _blocks(images, index) for image in block]


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
