"""What exists and what it can do, read from the source text: no model is imported to make a plan.

A model, data set, metric, probe or figure is one file; its name is its id. This module finds the files, reads their public
class (or function) with `ast`, and gives the closure of package files that each is made of, which rules take as input so that
an edit re-runs what depends on it and nothing else. Standard library only.
"""

import ast
import hashlib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
# What a metric may ask for that is no verb: the truth of the test split, and what every run knows of its data. What samples are
# compared with is as many images of the test split or of the train split, at random.
FACTS = (
    "x",
    "y",
    "dimensions",
    "levels",
    "test_pixels",
    "test_features",
    "test_inception",
    "train_pixels",
)
DENSITY = ("log_prob", "log_weight", "log_prob_bound", "log_unnormalized")
SAMPLE = ("sample",)
CODE = ("encode",)
DECODE = ("decode",)
# What is computed from a verb, and what it needs: any one of the capabilities named. A probe needs what its own `NEEDS` says.
DERIVED = {
    "class_scores": ("predict_proba", "decision_function"),
    "log_mass": DENSITY,
    "log_density": DENSITY,
    "log_mass_threshold": DENSITY,
    "log_mass_stochastic": DENSITY,
    "codes": CODE,
    "code_map": CODE,
    "code_clusters": CODE,
    # Of what the decoder makes of normal noise.
    "decoded_features": DECODE,
    # The samples; their features and class probabilities; the labels that were asked for.
    "sample_pixels": SAMPLE,
    "sample_features": SAMPLE,
    "sample_probabilities": SAMPLE,
    "sample_labels": SAMPLE,
    "sample_inception": SAMPLE,
    # In how many balls around the other side's images each lies, and whether a test image's own ball holds a sample.
    "sample_test_balls": SAMPLE,
    "test_sample_balls": SAMPLE,
    "test_own_ball": SAMPLE,
    # How near train images and test images are to each sample.
    "sample_nearest_train": SAMPLE,
    "sample_nearest_train_own": SAMPLE,
    "sample_pool_index": SAMPLE,
    "sample_pool_distance": SAMPLE,
    "pool_size": SAMPLE,
    # What a fixed classifier says of the test images that learned from samples alone, or from train images as well.
    "synthetic_predict": SAMPLE,
    "union_predict": SAMPLE,
}


@dataclass(frozen=True)
class Parameter:
    """One argument of `__init__`: a hyper-parameter. `type` is the annotation as written, "" where there is none."""

    name: str
    type: str
    default: object


@dataclass(frozen=True)
class Entry:
    """One file of the catalog.

    Attributes:
        name: file name without its ending; the id in config, paths, MLflow and report.
        kind: its room below the package: "models", "datasets", "metrics", ...
        family: the folder below models/ ("generative", ...), "" elsewhere.
        path: the file.
        public: name of its public class or function.
        summary: first line of the module's docstring.
        capabilities: what a model can do, in the order of `protocol.CAPABILITIES`; empty elsewhere.
        parameters: arguments of the public class's `__init__`, or of the public function.
        constants: module-level constants with literal values (a metric's HIGHER_IS_BETTER and UNIT).
        partner: of a generative classifier, the discriminative model with the same decision boundaries: its attribute `partner`.
        images_only: whether a model cannot take tables: its attribute `images_only`.
        needs_known_distribution: whether a model is one of data sets whose law is known alone: its attribute `needs_known_distribution`.
        table: whether a data set is a table: its attribute `table`.
        law: of a data set whose law is known, the name of that law: its attribute `law`.
    """

    name: str
    kind: str
    family: str
    path: Path
    public: str
    summary: str
    capabilities: tuple[str, ...] = ()
    parameters: dict[str, Parameter] = field(default_factory=dict)
    constants: dict[str, object] = field(default_factory=dict)
    discriminative_counterpart: str = ""
    images_only: bool = False
    needs_known_distribution: bool = False
    table: bool = False
    distribution: str = ""


def models() -> dict[str, Entry]:
    """Every model by name; its family is its folder below models/."""
    entries = [_entry(path, "models", path.parent.name) for path in _files("models/*/*.py")]
    doubled = {entry.name for entry in entries if sum(other.name == entry.name for other in entries) > 1}
    if doubled:
        raise ValueError(f"two model files have one name: {', '.join(sorted(doubled))}")
    return {entry.name: entry for entry in entries}


def datasets() -> dict[str, Entry]:
    """Every data set, or kind of source, by name."""
    return {path.stem: _entry(path, "datasets") for path in _files("data/datasets/*.py")}


def metrics() -> dict[str, Entry]:
    """Every metric by name; its parameters name what it needs."""
    return {path.stem: _entry(path, "metrics") for path in _files("evaluation/metrics/*.py")}


def probes() -> dict[str, Entry]:
    """Every probe by name: what a fitted model is put through, beyond the test images as they are."""
    return {path.stem: _entry(path, "probes") for path in _files("evaluation/quantities/*.py")}


def needs(name: str) -> tuple[str, ...]:
    """The capabilities of which a model must have one, so that what a metric's parameter names can be had; none for a fact."""
    if name in FACTS:
        return ()
    probe = probes().get(name)
    return probe.constants["NEEDS"] if probe else DERIVED.get(name, (name,))


def figures() -> dict[str, Entry]:
    """Every figure of the report by name."""
    return {path.stem: _entry(path, "figures") for path in _files("report/figures/*.py")}


def verdicts() -> dict[str, Entry]:
    """Every question that the report's verdict answers, by name."""
    return {path.stem: _entry(path, "verdicts") for path in _files("report/verdicts/*.py")}


def evaluations(capabilities: tuple[str, ...]) -> dict[str, str]:
    """Metrics by name, each with "" where a model of these capabilities gets it, else why not."""
    return {name: _missing(entry.parameters, capabilities) for name, entry in metrics().items()}


@cache
def closure(*paths: Path) -> list[Path]:
    """The package files that these files are made of: themselves and what they import, however far and wherever it stands."""
    found, open_ = set(), [Path(path).resolve() for path in paths]
    while open_:
        path = open_.pop()
        if path not in found:
            found.add(path)
            open_.extend(_imports(path))
    return sorted(found)


def digest(*paths: Path) -> str:
    """One name for the content of these files and of all that they are made of: the SHA-256 of it, in hexadecimal digits."""
    found = hashlib.sha256()
    for path in closure(*paths):
        # The length keeps the end of one file apart from the beginning of the next.
        content = path.read_bytes()
        found.update(f"{path.relative_to(PACKAGE)} {len(content)}\n".encode())
        found.update(content)
    return found.hexdigest()


@cache
def capabilities() -> tuple[str, ...]:
    """The names in `protocol.CAPABILITIES`, in their order."""
    tree = _tree(PACKAGE / "base/capabilities.py")
    methods = [
        item.name
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        for item in node.body
        if isinstance(item, ast.FunctionDef)
    ]
    return tuple(name for name in methods if name != "fit")


def _missing(parameters: dict, capabilities: tuple[str, ...]) -> str:
    for name in parameters:
        if (needed := needs(name)) and not set(needed) & set(capabilities):
            return f"no {' or '.join(filter(None, (', '.join(needed[:-1]), needed[-1])))}"
    return ""


def _files(pattern: str) -> list[Path]:
    return sorted(path for path in PACKAGE.glob(pattern) if not path.name.startswith("_"))


@cache
def _tree(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    except SyntaxError as error:
        raise ValueError(f"{path}, line {error.lineno}: {error.msg}") from None


@cache
def _entry(path: Path, kind: str, family: str = "") -> Entry:
    tree = _tree(path)
    # Models and data sets are classes, metrics and figures functions.
    wanted = ast.ClassDef if kind in ("models", "datasets") else ast.FunctionDef
    public = [node for node in tree.body if isinstance(node, wanted) and not node.name.startswith("_")]
    if kind == "models":
        public = [node for node in public if "fit" in _methods(node, path)]
    elif wanted is ast.FunctionDef:
        public = [node for node in public if node.name == path.stem]
    if len(public) != 1:
        thing = f"function `{path.stem}`" if wanted is ast.FunctionDef else "public class"
        able = " with a `fit` method" if kind == "models" else ""
        raise ValueError(f"{path}: exactly one {thing}{able} is needed, {len(public)} found")
    node = public[0]
    if wanted is ast.ClassDef:
        able = _methods(node, path)
        signature = next((item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"), None)
    else:
        able, signature = set(), node
    own = _attributes(node, path) if wanted is ast.ClassDef else {}
    own |= _tags(node, path) if kind == "models" else {}
    return Entry(
        name=path.stem,
        kind=kind,
        family=family,
        path=path,
        public=node.name,
        summary=(ast.get_docstring(tree) or "").split("\n")[0],
        capabilities=tuple(verb for verb in capabilities() if verb in able) if kind == "models" else (),
        parameters=_parameters(signature, path),
        constants=_constants(tree),
        discriminative_counterpart=own.get("discriminative_counterpart", ""),
        images_only=own.get("images_only", False),
        needs_known_distribution=own.get("needs_known_distribution", False),
        table=own.get("table", False),
        distribution=own.get("distribution", ""),
    )


def _methods(node: ast.ClassDef, path: Path) -> set[str]:
    """Names of the methods of a class, with those that it inherits from classes of this package."""
    return {item.name for part, _ in _lineage(node, path) for item in part.body if isinstance(item, ast.FunctionDef)}


def _attributes(node: ast.ClassDef, path: Path) -> dict[str, object]:
    """Class attributes that are literals, by name, with those that it inherits from classes of this package."""
    found: dict[str, object] = {}
    for part, _ in _lineage(node, path):
        for item in part.body:
            if isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Name):
                found.setdefault(item.targets[0].id, _literal(item.value))
    return found


def _tags(node: ast.ClassDef, path: Path) -> dict[str, object]:
    """The arguments of `tags = Tags(...)`, of the class itself or of the nearest of its base classes that has it."""
    for part, _ in _lineage(node, path):
        for item in part.body:
            if isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Name) and item.targets[0].id == "tags":
                assert isinstance(item.value, ast.Call)
                return {keyword.arg or "": ast.literal_eval(keyword.value) for keyword in item.value.keywords}
    return {}


def _lineage(node: ast.ClassDef, path: Path) -> list[tuple[ast.ClassDef, Path]]:
    """A class and the classes of this package that it inherits from, each with its file, nearest first."""
    found = [(node, path)]
    for base in node.bases:
        if isinstance(base, ast.Name) and (parent := _class(base.id, path)):
            found += _lineage(*parent)
    return found


def _class(name: str, path: Path) -> tuple[ast.ClassDef, Path] | None:
    """The class that a file means by a name, and the file that defines it; None where that is none of this package."""
    for node in _tree(path).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return node, path
        if isinstance(node, ast.ImportFrom) and any(alias.name == name for alias in node.names):
            source = _module_file(node.module or "")
            return _class(name, source) if source else None
    return None


def _parameters(function: ast.FunctionDef | None, path: Path) -> dict[str, Parameter]:
    if function is None:
        return {}
    arguments = [a for a in function.args.posonlyargs + function.args.args if a.arg != "self"]
    defaults: list = [None] * (len(arguments) - len(function.args.defaults)) + function.args.defaults
    pairs = [*zip(arguments, defaults), *zip(function.args.kwonlyargs, function.args.kw_defaults)]
    found = {}
    for a, default in pairs:
        if isinstance(default, ast.Call) and isinstance(default.func, ast.Name) and (group := _class(default.func.id, path)):
            given = {keyword.arg: _literal(keyword.value) for keyword in default.keywords}
            for item in group[0].body:
                if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                    name = item.target.id
                    found[name] = Parameter(name, ast.unparse(item.annotation), given.get(name, _literal(item.value)))
        else:
            found[a.arg] = Parameter(a.arg, ast.unparse(a.annotation) if a.annotation else "", _literal(default))
    return found


def _constants(tree: ast.Module) -> dict[str, object]:
    return {
        node.targets[0].id: _literal(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id.isupper()
    }


def _literal(node: ast.expr | None) -> object:
    try:
        return ast.literal_eval(node) if node is not None else None
    except ValueError:
        return ast.unparse(node)


@cache
def _imports(path: Path) -> tuple[Path, ...]:
    """Package files that one file imports directly."""
    found = []
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            # `from pofxy import store` names a module, `from pofxy.storage.models import load` a thing inside one: try both.
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        found.extend(file for name in names if (file := _module_file(name)))
    return tuple(found)


def _module_file(module: str) -> Path | None:
    parts = module.split(".")
    if parts[0] != PACKAGE.name:
        return None
    path = PACKAGE.joinpath(*parts[1:])
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if len(parts) > 1 and file.is_file()), None)
