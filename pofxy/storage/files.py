"""Files that are written whole or not at all, and read with one clear error. Standard library only."""

import csv
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


class FileError(ValueError):
    """A file is not what it should be; the message names the file and the cause."""


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Gives a temporary name beside `path` to write to; it takes the place of `path` only when all is written."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        if path.is_dir():
            shutil.rmtree(path)
        os.replace(temporary, path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        temporary.unlink(missing_ok=True)


def write_json(path: Path | str, value) -> None:
    """JSON, indented, written whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def read_json(path: Path | str):
    """What write_json wrote. Raises FileError where the file is none of it."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise FileError(f"{path}: {error}") from None


def write_csv(path: Path | str, rows: list[dict], columns: Iterable[str]) -> None:
    """Rows under a header, written whole or not at all; what a row lacks is an empty cell."""
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path: Path | str, delimiter: str = ",") -> list[dict[str, str]]:
    """Rows by the names in the header."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter=delimiter))
