"""How large a data set is, before and after it is downloaded. Standard library only."""

import gzip
import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path

from pofxy.study import catalog
from pofxy.study.plan import Source

# The shares of preprocess, where the config names no other ones.
TEST = 0.2
VAL = 0.1


@dataclass(frozen=True)
class Size:
    """The size of a data set: train and test rows (or images), the numbers in one of them, and whether it is a table."""

    rows: int
    test_rows: int
    numbers: int
    table: bool = False


def size_of(source: Source, results: Path, split: dict) -> Size | None:
    """The size that a data set has, or will have; None where nothing tells before it is downloaded.

    Args:
        source: the data set.
        results: the study's folder. What `preprocess` wrote there counts first.
        split: the config's key `split`.
    """
    return measured(results / "data" / source.name) or _stated(source, split)


def measured(folder: Path) -> Size | None:
    """The size of a data set that is preprocessed, from its spec.json and audit.json; None where they are missing."""
    try:
        shape = json.loads((folder / "spec.json").read_text(encoding="utf-8"))["shape"]
        counts = json.loads((folder / "audit.json").read_text(encoding="utf-8"))["counts"]
        return Size(sum(counts["train"]), sum(counts["test"]), math.prod(shape), table=len(shape) == 1)
    except (OSError, ValueError, KeyError):
        return None


def _stated(source: Source, split: dict) -> Size | None:
    """From the argument `n`, the class attributes of the data set's file, or the headers of the user's IDX files."""
    entry = catalog.datasets()[source.of]
    n = source.arguments.get("n", entry.parameters["n"].default if "n" in entry.parameters else entry.rows)
    shape = entry.shape
    official = entry.official_test
    if "path" in source.arguments and not shape:
        n, official, shape = _idx_files(Path(source.arguments["path"]))
    if not isinstance(n, int) or not shape:
        return None
    test = official or round(n * split.get("test", TEST))
    return Size(n - test - round(n * split.get("val", VAL)), test, math.prod(shape), entry.table)


def _idx_files(folder: Path) -> tuple[int, int, tuple[int, ...]]:
    """Rows, rows of an official test split, and shape of the images in a folder of IDX files; zeros where there are none."""
    headers = {path.name: _idx_header(path) for path in sorted(folder.glob("*images*"))} if folder.is_dir() else {}
    shapes = {name: header for name, header in headers.items() if header}
    test = sum(header[0] for name, header in shapes.items() if not name.startswith("train"))
    n = sum(header[0] for header in shapes.values())
    return n, test, next(iter(shapes.values()))[1:] if shapes else ()


def _idx_header(path: Path) -> tuple[int, ...]:
    """The dimensions of an IDX file, gzipped or not; () for any other file."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            zeros, _, dimensions = struct.unpack(">HBB", file.read(4))
            return struct.unpack(f">{dimensions}I", file.read(4 * dimensions)) if zeros == 0 else ()
    except (OSError, struct.error):
        return ()
