"""Reads the package's source files without importing them. What it cannot read, it refuses with file, line and what to write.

Standard library only.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


class SourceError(ValueError):
    """A source file says something that the catalog cannot read; the message names file, line and what to write instead."""

    def __init__(self, path: Path, line: int, problem: str):
        super().__init__(f"{path}, line {line}: {problem}")


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a file. Raises SourceError for a syntax error."""
    try:
        return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    except SyntaxError as error:
        raise SourceError(path, error.lineno or 0, str(error.msg)) from None


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """The tree and every statement in it, nested ones too, in no particular order.

    Imports, functions and classes are statements, so they are found without walking through all expressions: ten times as fast.
    """
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for block in ("body", "orelse", "finalbody", "handlers", "cases"):
            waiting.extend(getattr(node, block, ()))


def summary(path: Path) -> str:
    """First line of the module's docstring."""
    return (ast.get_docstring(tree(path)) or "").split("\n")[0]


@cache
def imports(path: Path) -> tuple[Path, ...]:
    """The files of the package that one file imports directly, wherever in the file the import stands.

    Importing a module runs the `__init__.py` of each folder on the way to it, so these are among them.

    Raises:
        SourceError: for a relative import and for `import *`, which say nothing of where a name comes from.
    """
    found = []
    for node in statements(tree(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = _module_of(node, path)
            # `from pofxy.storage import files` names a module, `from pofxy.storage.files import atomic` a thing in one: try both.
            names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        else:
            continue
        found.extend(file for name in names if (file := module_file(name)))
    folders = {folder for file in found for folder in file.parents if PACKAGE in folder.parents}
    ways = sorted(folder / "__init__.py" for folder in folders)
    return (*found, *(path for path in ways if path.is_file()))


def module_file(module: str) -> Path | None:
    """The file of a module of the package, by its dotted name; None where it is none of the package's."""
    first, *rest = module.split(".")
    if first != PACKAGE.name or not rest:
        return None
    path = PACKAGE.joinpath(*rest)
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def constants(path: Path) -> dict[str, object]:
    """The module's constants in capitals with literal values, annotated or not, by name."""
    found = {}
    for node in tree(path).body:
        name, value = assignment(node)
        if name.isupper() and value is not None and is_literal(value):
            found[name] = ast.literal_eval(value)
    return found


def assignment(node: ast.stmt) -> tuple[str, ast.expr | None]:
    """Name and value of `name = value` or `name: type = value`; ("", None) for any other statement."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id, node.value
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return node.target.id, node.value
    return "", None


def is_literal(node: ast.expr) -> bool:
    """Whether a value can be read without running anything."""
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError):
        return False
    return True


def literal_keywords(call: ast.Call, path: Path, what: str) -> dict[str, object]:
    """The keyword arguments of a call by name. Raises SourceError where one is not literal, or stands without its name."""
    if call.args or any(keyword.arg is None for keyword in call.keywords):
        raise SourceError(path, call.lineno, f"{what} takes arguments by name only: write {what}(name=value, ...)")
    for keyword in call.keywords:
        if not is_literal(keyword.value):
            raise SourceError(path, keyword.value.lineno, f"{what}({keyword.arg}=...) must be a literal, not an expression")
    return {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}


def lineage(node: ast.ClassDef, path: Path) -> list[tuple[ast.ClassDef, Path]]:
    """A class and those classes of this package that it inherits from, each with its file, nearest first.

    Raises:
        SourceError: for a base class of this package that does not stand there by its plain name.
    """
    found = [(node, path)]
    for base in node.bases:
        if isinstance(base, ast.Name):
            if parent := find_class(base.id, path):
                found += lineage(*parent)
        elif _is_ours(base, path):
            written = ast.unparse(base)
            raise SourceError(
                path,
                base.lineno,
                f"the base class `{written}`: import it by its name: from ... import {written.rpartition('.')[2]}",
            )
    return found


@cache
def find_class(name: str, path: Path) -> tuple[ast.ClassDef, Path] | None:
    """The class that a file means by a name, and the file that defines it; None where it is none of this package."""
    for node in tree(path).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return node, path
        if isinstance(node, ast.ImportFrom):
            module = _module_of(node, path)
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    source = module_file(module)
                    return find_class(alias.name, source) if source else None
    return None


def _module_of(node: ast.ImportFrom, path: Path) -> str:
    if node.level:
        raise SourceError(path, node.lineno, f"a relative import: write from {PACKAGE.name}... import {node.names[0].name}")
    if node.module and node.module.split(".")[0] == PACKAGE.name and node.names[0].name == "*":
        raise SourceError(path, node.lineno, f"from {node.module} import *: name what is imported")
    return node.module or ""


def _is_ours(base: ast.expr, path: Path) -> bool:
    """Whether a base class such as `bayes.BayesRuleMixin` begins with a module of this package."""
    root = base
    while isinstance(root, ast.Attribute | ast.Subscript | ast.Call):
        root = root.func if isinstance(root, ast.Call) else root.value
    if not isinstance(root, ast.Name):
        return True  # not readable at all
    for node in statements(tree(path)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = node.names[0].name if isinstance(node, ast.Import) else _module_of(node, path)
            named = {(alias.asname or alias.name).split(".")[0] for alias in node.names}
            if root.id in named:
                return module.split(".")[0] == PACKAGE.name
    return True
