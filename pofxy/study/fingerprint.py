"""Which code a result depends on, as one short name: a digest of syntax trees.

The fingerprint of a file covers the file and all of the package that it imports, however far. Comments, docstrings and layout do
not count: editing them re-runs nothing. Two packages are in no fingerprint, because no result depends on them: `tracking` (what
is sent to MLflow) and `workflow` (logs, progress, cost, provenance). Standard library only.
"""

import ast
import hashlib
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
    left_out = [source.PACKAGE / name for name in without]
    found: set[Path] = set()
    waiting = [Path(path).resolve() for path in paths]
    while waiting:
        path = waiting.pop()
        if path not in found and not any(folder in path.parents for folder in left_out):
            found.add(path)
            waiting.extend(source.imports(path))
    return sorted(found)


@cache
def code_digest(path: Path) -> str:
    """The digest of one file's syntax tree without docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))  # a tree of its own, which is changed here
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
                node.body = node.body[1:]
    return hashlib.sha256(ast.dump(tree, annotate_fields=False).encode()).hexdigest()


def _name(path: Path) -> str:
    """A file's name that is the same in every checkout."""
    path = path.resolve()
    return str(path.relative_to(source.PACKAGE.parent)) if source.PACKAGE.parent in path.parents else path.name
