"""Which code a result depends on, as one short name: a digest of syntax trees.

The fingerprint of a file covers the file and all of the package that it imports, however far. Comments, docstrings and layout do
not count: editing them re-runs nothing. Two packages are in no fingerprint, because no result depends on them: `tracking` (what
is sent to MLflow) and `workflow` (logs, progress, cost, provenance). Standard library only.
"""

import ast
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from pofxy.study import source

NOT_IN_RESULTS = ("tracking", "workflow")
LENGTH = 16  # hexadecimal digits


@cache
def fingerprint(*paths: Path) -> str:
    """One name for what these files do, with all that they import: 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in closure(*paths):
        digest.update(f"{_name(path)} {code_digest(path)}\n".encode())
    return digest.hexdigest()[:LENGTH]


def shown_text(*paths: Path) -> str:
    """One name for what the report shows of these files: the module's docstring, or of a template its whole content."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        text = ast.get_docstring(source.tree(path)) or "" if path.suffix == ".py" else path.read_text(encoding="utf-8")
        digest.update(f"{_name(path)} {len(text)}\n{text}".encode())
    return digest.hexdigest()[:LENGTH]


def closure(*paths: Path, without: tuple[str, ...] = NOT_IN_RESULTS) -> list[Path]:
    """These files and the files of the package that they import, however far, but for those of some packages."""
    found: set[Path] = set()
    waiting = [Path(path).resolve() for path in paths]
    while waiting:
        path = waiting.pop()
        if path not in found and _folder(path) not in without:
            found.add(path)
            waiting.extend(source.imports(path))
    return sorted(found, key=lambda path: path.parts)


@cache
def code_digest(path: Path) -> str:
    """The digest of one file's syntax tree without docstrings."""
    tree = source.tree(path)
    with _without_docstrings(tree):
        return hashlib.sha256(ast.dump(tree, annotate_fields=False).encode()).hexdigest()


@contextmanager
def _without_docstrings(tree: ast.Module) -> Iterator[None]:
    """Takes the docstrings out of a tree for a while: it is shared with all that reads the file."""
    whole = []
    for node in source.statements(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
                whole.append((node, node.body))
    for node, body in whole:
        node.body = body[1:]
    try:
        yield
    finally:
        for node, body in whole:
            node.body = body


@cache
def _folder(path: Path) -> str:
    """The folder of the package that a file lies in, "" for a file elsewhere."""
    return path.relative_to(source.PACKAGE).parts[0] if source.PACKAGE in path.parents else ""


@cache
def _name(path: Path) -> str:
    """A file's name that is the same in every checkout."""
    path = path.resolve()
    return str(path.relative_to(source.PACKAGE.parent)) if source.PACKAGE.parent in path.parents else path.name
