"""Writes files whole or not at all, and reads them with one clear error. Standard library only."""

import csv
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class FileError(ValueError):
    """A file is not what it should be; the message names the file and the cause."""


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yields a temporary path for a file or a folder; it replaces `path` only when the block ends without an error."""
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


def write_json(path: Path | str, value: Any) -> None:
    """Writes indented JSON."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def read_json(path: Path | str) -> Any:
    """Reads JSON.

    Raises:
        FileError: where there is no such file, or no JSON in it.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise FileError(f"{path}: {error}") from None


def write_csv(path: Path | str, rows: list[dict], columns: Iterable[str], delimiter: str = ",") -> None:
    """Writes rows under a header; what a row lacks is an empty cell.

    Raises:
        ValueError: where a row has a key that is no column.
    """
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(columns), lineterminator="\n", delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path: Path | str, delimiter: str = ",") -> list[dict[str, str]]:
    """Reads rows, each by the names in the header."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter=delimiter))
