"""What exists and what it can do, read from the source text: no model is imported to make a plan.

A model, data set, metric, quantity or figure is found as a file; its file name is its id. Which evaluations a model gets follows
from the graph of quantities: a metric's parameters name quantities, whose parameters name others, down to a fitted model, whose
annotation says which capability is needed. Standard library only.
"""

import ast
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

from pofxy.base.tags import Tags
from pofxy.study import source
from pofxy.study.source import PACKAGE, SourceError


@dataclass(frozen=True)
class Parameter:
    """One argument of `__init__`: a hyperparameter. `type` is the annotation as written, "" where there is none."""

    name: str
    type: str
    default: object


@dataclass(frozen=True)
class Dependency:
    """One argument of a quantity or a metric.

    Attributes:
        name: of a quantity or a fact.
        capabilities: of an argument `model`, the capabilities of which the model must have one; empty elsewhere.
        optional: whether the argument has a default, which stands where the quantity cannot be had.
    """

    name: str
    capabilities: tuple[str, ...] = ()
    optional: bool = False


@dataclass(frozen=True)
class Entry:
    """One file of the catalog.

    Attributes:
        name: the id in config, paths, MLflow and report: the file name without its ending, for quantities the function's name.
        path: the file.
        public: name of its public class or function.
        summary: first line of the module's docstring.
    """

    name: str
    path: Path
    public: str
    summary: str


@dataclass(frozen=True)
class ModelEntry(Entry):
    """A model. `family` is its folder; `capabilities` are in the order of base/capabilities.py."""

    family: str
    capabilities: tuple[str, ...]
    parameters: dict[str, Parameter]
    tags: Tags


@dataclass(frozen=True)
class DatasetEntry(Entry):
    """A data set, or a kind of source.

    Attributes:
        parameters: the arguments of its class.
        table: whether its rows are no images.
        distribution: the known distribution that it is sampled from; "" for none.
        rows: number of its rows or images; 0 where its arguments or files say it.
        official_test: how many of them are an official test split; 0 where there is none.
        shape: of one of them; () where it is not known before it is downloaded.
    """

    parameters: dict[str, Parameter]
    table: bool
    distribution: str
    rows: int = 0
    official_test: int = 0
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class MetricEntry(Entry):
    """A metric.

    Attributes:
        dependencies: its arguments.
        higher_is_better: its direction.
        unit: of its value.
        lowest, highest: beyond which no interval reaches; None where there is no such limit.
        best: the value that is best, where that is neither the lowest nor the highest.
        images_only: whether it makes no sense for tables.
        trains: whether it trains a classifier, so that it is not computed anew for each set of samples of a reference.
    """

    dependencies: tuple[Dependency, ...]
    higher_is_better: bool
    unit: str
    lowest: float | None = None
    highest: float | None = None
    best: float | None = None
    images_only: bool = False
    trains: bool = False


@dataclass(frozen=True)
class QuantityEntry(Entry):
    """A quantity; the attributes are the arguments of its decorator, which `evaluation.quantity.quantity` describes."""

    dependencies: tuple[Dependency, ...]
    rows: str = ""
    source: str = ""
    redrawn: bool = False
    images_only: bool = False
    curve: str = ""
    unit: str = ""
    gallery: str = ""
    kept: bool = True


@dataclass(frozen=True)
class SectionEntry(Entry):
    """A figure or a verdict of the report.

    Attributes:
        order: its place, the smallest first.
        metrics: the metrics that answer a verdict's question.
    """

    order: int = 1000
    metrics: tuple[str, ...] = ()


@cache
def models() -> dict[str, ModelEntry]:
    """Every model by name; its family is its folder below models/."""
    found: dict[str, ModelEntry] = {}
    for path in _files("models/*/*.py"):
        entry = _model(path)
        if entry.name in found:
            raise ValueError(f"two model files have one name: {found[entry.name].path} and {path}")
        found[entry.name] = entry
    return found


@cache
def datasets() -> dict[str, DatasetEntry]:
    """Every data set, or kind of source, by name."""
    return {path.stem: _dataset(path) for path in _files("data/datasets/*.py")}


@cache
def metrics() -> dict[str, MetricEntry]:
    """Every metric by name."""
    return {path.stem: _metric(path) for path in _files("evaluation/metrics/*.py")}


@cache
def figures() -> dict[str, SectionEntry]:
    """Every figure of the report by name."""
    return {path.stem: _section(path) for path in _files("report/figures/*.py")}


@cache
def verdicts() -> dict[str, SectionEntry]:
    """Every question that the report answers in words, by name."""
    return {path.stem: _section(path) for path in _files("report/verdicts/*.py")}


@cache
def quantities() -> dict[str, QuantityEntry]:
    """Every quantity by name: each function of evaluation/quantities/ with the decorator `@quantity(...)`."""
    found: dict[str, QuantityEntry] = {}
    for path in _files("evaluation/quantities/*.py"):
        for node in source.tree(path).body:
            if isinstance(node, ast.FunctionDef) and (decorator := _decorator(node, path)):
                if node.name in found:
                    raise SourceError(path, node.lineno, f"the quantity `{node.name}` is also in {found[node.name].path}")
                said = source.literal_keywords(decorator, path, "quantity")
                found[node.name] = QuantityEntry(
                    name=node.name,
                    path=path,
                    public=node.name,
                    summary=(ast.get_docstring(node) or "").split("\n")[0],
                    dependencies=_dependencies(node, path),
                    **said,  # type: ignore[arg-type]
                )
    return found


def calibrated_capabilities(entry: ModelEntry, method: str) -> tuple[str, ...]:
    """The capabilities of a model's calibrated variant, which only classifies; `method` is "temperature" or "isotonic"."""
    kept = ("predict", "predict_proba", "decision_function") if method == "temperature" else ("predict", "predict_proba")
    return tuple(name for name in entry.capabilities if name in kept)


def why_not_calibrated(entry: ModelEntry) -> str:
    """Why a model has no calibrated variant; "" where it has one."""
    if "predict_proba" not in entry.capabilities:
        return "it has no predict_proba"
    if entry.family not in ("discriminative", "generative"):
        return f"it is no discriminative or generative model, but a {entry.family.replace('_', ' ')}"
    return ""


@cache
def facts() -> dict[str, str]:
    """What every evaluation is given, by name, each with what it is: the constant FACTS of evaluation/facts.py."""
    return dict(source.constants(PACKAGE / "evaluation/facts.py")["FACTS"])  # type: ignore[call-overload]


@cache
def capabilities() -> tuple[str, ...]:
    """The names of all capabilities: the methods of the protocols in base/capabilities.py, in their order, without `fit`."""
    return tuple(name for name in protocols().values() if name != "fit")


@cache
def protocols() -> dict[str, str]:
    """The capability of each protocol in base/capabilities.py, its first method, by the protocol's name."""
    classes = [node for node in source.tree(PACKAGE / "base/capabilities.py").body if isinstance(node, ast.ClassDef)]
    methods = {node.name: [item.name for item in node.body if isinstance(item, ast.FunctionDef)] for node in classes}
    return {name: found[0] for name, found in methods.items()}


@cache
def number_of_images() -> dict[str, int]:
    """The constants of the rule that says how many images an evaluation takes, by name: those of base/passes.py."""
    return dict(source.constants(PACKAGE / "base/passes.py"))  # type: ignore[arg-type]


def evaluations(able: tuple[str, ...]) -> dict[str, str]:
    """Every metric by name, with "" where a model of these capabilities gets it, else the reason why not."""
    return {name: why_not(entry.dependencies, able) for name, entry in metrics().items()}


def why_not(dependencies: tuple[Dependency, ...], able: tuple[str, ...]) -> str:
    """Why a model of these capabilities cannot give these arguments; "" where it can."""
    reasons = {dependency: _why_not(dependency, frozenset(able)) for dependency in dependencies}
    for dependency, reason in reasons.items():
        if reason and not dependency.optional:
            return reason
    if dependencies and all(dependency.optional for dependency in dependencies) and all(reasons.values()):
        return f"no {_either(needs(dependencies))}"
    return ""


def needs(dependencies: tuple[Dependency, ...]) -> tuple[str, ...]:
    """The capabilities of which a model must have one for these arguments; of several such sets, the first. Empty for facts."""
    required = [dependency for dependency in dependencies if not dependency.optional]
    for dependency in required:
        if found := _needs(dependency):
            return found
    if required:
        return ()
    return tuple(dict.fromkeys(name for dependency in dependencies for name in _needs(dependency)))


def all_needs(dependencies: tuple[Dependency, ...]) -> list[tuple[str, ...]]:
    """Every set of capabilities of which a model must have one for these arguments, each once."""
    required = [dependency for dependency in dependencies if not dependency.optional]
    found = [part for dependency in required for part in _all_needs(dependency)]
    if not required and dependencies:
        found = [needs(dependencies)]
    return list(dict.fromkeys(found))


def depends_on(dependencies: tuple[Dependency, ...], fact: str) -> bool:
    """Whether these arguments are made of a fact, however far down."""
    return any(
        dependency.name == fact
        or (dependency.name in quantities() and depends_on(quantities()[dependency.name].dependencies, fact))
        for dependency in dependencies
    )


def chain(dependency: Dependency) -> str:
    """How an argument comes from the model's capabilities and the facts, as in `test_features(test_pixels(x), feature_net)`.

    A model that may have one of several capabilities is `model.log_prob|log_weight`; an optional argument ends with `?`.
    """
    if dependency.name in quantities():
        text = f"{dependency.name}({', '.join(chain(inner) for inner in quantities()[dependency.name].dependencies)})"
    elif dependency.capabilities:
        text = f"model.{'|'.join(dependency.capabilities)}"
    else:
        text = dependency.name
    return text + "?" * dependency.optional


def made_of(dependencies: tuple[Dependency, ...], quantity: str) -> bool:
    """Whether these arguments are made of a quantity, and of nothing else that a model gives."""
    return depends_on(dependencies, quantity) and all(_needs_no_model(dependency, quantity) for dependency in dependencies)


def _needs_no_model(dependency: Dependency, given: str) -> bool:
    if dependency.name == given or dependency.name not in quantities():
        return dependency.name == given or not dependency.capabilities
    return all(_needs_no_model(inner, given) for inner in quantities()[dependency.name].dependencies)


@cache
def _why_not(dependency: Dependency, able: frozenset[str]) -> str:
    if dependency.capabilities:
        return "" if able & set(dependency.capabilities) else f"no {_either(dependency.capabilities)}"
    if dependency.name in quantities():
        return why_not(quantities()[dependency.name].dependencies, tuple(able))
    if dependency.name not in facts():
        raise ValueError(f"'{dependency.name}' is an argument of a metric or quantity, and neither a quantity nor a fact")
    return ""


def _needs(dependency: Dependency) -> tuple[str, ...]:
    if dependency.name in quantities():
        return needs(quantities()[dependency.name].dependencies)
    return dependency.capabilities


def _all_needs(dependency: Dependency) -> list[tuple[str, ...]]:
    if dependency.name in quantities():
        return all_needs(quantities()[dependency.name].dependencies)
    return [dependency.capabilities] if dependency.capabilities else []


def _either(names: tuple[str, ...]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _files(pattern: str) -> list[Path]:
    return sorted(path for path in PACKAGE.glob(pattern) if not path.name.startswith("_"))


@cache
def _model(path: Path) -> ModelEntry:
    classes = [node for node in _classes(path) if "fit" in _methods(node, path)]
    node = _the_one(classes, path, "public class with a `fit` method")
    able = _methods(node, path)
    return ModelEntry(
        **_common(path, node),
        family=path.parent.name,
        capabilities=tuple(name for name in capabilities() if name in able),
        parameters=_hyperparameters(node, path),
        tags=_tags(node, path),
    )


@cache
def _dataset(path: Path) -> DatasetEntry:
    node = _the_one(_classes(path), path, "public class")
    said = _attributes(node, path, ("table", "distribution", "rows", "official_test", "shape"))
    return DatasetEntry(
        **_common(path, node),
        parameters=_hyperparameters(node, path),
        table=bool(said.get("table", False)),
        distribution=str(said.get("distribution", "")),
        rows=int(str(said.get("rows", 0))),
        official_test=int(str(said.get("official_test", 0))),
        shape=tuple(said.get("shape", ())),  # type: ignore[arg-type]
    )


@cache
def _metric(path: Path) -> MetricEntry:
    node = _function(path)
    said = source.constants(path)
    for name in ("HIGHER_IS_BETTER", "UNIT"):
        if name not in said:
            raise SourceError(path, 1, f"a metric states {name} = ... with a literal value")
    optional = {each.name: said[each.name.upper()] for each in fields(MetricEntry) if each.name.upper() in said}
    return MetricEntry(**_common(path, node), dependencies=_dependencies(node, path), **optional)  # type: ignore[arg-type]


@cache
def _section(path: Path) -> SectionEntry:
    said = source.constants(path)
    optional = {name: said[name.upper()] for name in ("order", "metrics") if name.upper() in said}
    return SectionEntry(**_common(path, _function(path)), **optional)  # type: ignore[arg-type]


def _common(path: Path, node: ast.ClassDef | ast.FunctionDef) -> dict:
    return {"name": path.stem, "path": path, "public": node.name, "summary": source.summary(path)}


def _classes(path: Path) -> list[ast.ClassDef]:
    return [node for node in source.tree(path).body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]


def _function(path: Path) -> ast.FunctionDef:
    functions = [node for node in source.tree(path).body if isinstance(node, ast.FunctionDef) and node.name == path.stem]
    return _the_one(functions, path, f"function `{path.stem}`")


def _the_one(nodes: list, path: Path, what: str):
    if len(nodes) != 1:
        raise ValueError(f"{path}: exactly one {what} is needed, {len(nodes)} found")
    return nodes[0]


def _methods(node: ast.ClassDef, path: Path) -> set[str]:
    """Names of the methods of a class, with those that it inherits from classes of this package."""
    found = set()
    for part, where in source.lineage(node, path):
        for item in part.body:
            name, _ = source.assignment(item)
            if name in protocols().values():
                raise SourceError(
                    where, item.lineno, f"the capability `{name}` is assigned: write it as a method, def {name}(self, ...)"
                )
            if isinstance(item, ast.FunctionDef):
                found.add(item.name)
    return found


def _tags(node: ast.ClassDef, path: Path) -> Tags:
    """The class's own `tags = Tags(...)`, or those of the nearest of its base classes that has them."""
    known = {each.name for each in fields(Tags)}
    for part, where in source.lineage(node, path):
        found = None
        for item in part.body:
            name, value = source.assignment(item)
            if name in known:
                raise SourceError(where, item.lineno, f"`{name}` is a tag: write tags = Tags({name}=...)")
            if name != "tags":
                continue
            if not (isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "Tags"):
                raise SourceError(where, item.lineno, "tags: write tags = Tags(...) with literal arguments")
            said = source.literal_keywords(value, where, "Tags")
            if unknown := set(said) - known:
                raise SourceError(
                    where, item.lineno, f"Tags has no {', '.join(sorted(unknown))}; it has {', '.join(sorted(known))}"
                )
            found = found or Tags(**said)  # type: ignore[arg-type]
        if found is not None:
            return found
    return Tags()


def _attributes(node: ast.ClassDef, path: Path, names: tuple[str, ...]) -> dict[str, object]:
    """Some class attributes by name, the nearest definition of each."""
    found: dict[str, object] = {}
    for part, where in source.lineage(node, path):
        for item in part.body:
            name, value = source.assignment(item)
            if name not in names or name in found:
                continue
            if value is None or not source.is_literal(value):
                raise SourceError(where, item.lineno, f"`{name}` must be a literal: {name} = ...")
            found[name] = ast.literal_eval(value)
    return found


def _hyperparameters(node: ast.ClassDef, path: Path) -> dict[str, Parameter]:
    """The arguments of `__init__`, those of a group (`optimization: Optimization = Optimization(steps=...)`) one by one."""
    signature = next((item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"), None)
    if signature is None:
        return {}
    if signature.args.vararg or signature.args.kwarg:
        raise SourceError(path, signature.lineno, "__init__ takes * or ** arguments: name each hyperparameter")
    arguments = [argument for argument in signature.args.posonlyargs + signature.args.args if argument.arg != "self"]
    defaults = [None] * (len(arguments) - len(signature.args.defaults)) + list(signature.args.defaults)
    pairs = [*zip(arguments, defaults), *zip(signature.args.kwonlyargs, signature.args.kw_defaults)]
    found = {}
    for argument, default in pairs:
        if isinstance(default, ast.Call):
            found |= _group(default, path)
        else:
            annotation = ast.unparse(argument.annotation) if argument.annotation else ""
            found[argument.arg] = Parameter(argument.arg, annotation, _value(default, path))
    return found


def _group(call: ast.Call, path: Path) -> dict[str, Parameter]:
    group = source.find_class(call.func.id, path) if isinstance(call.func, ast.Name) else None
    if group is None:
        raise SourceError(
            path, call.lineno, f"the default `{ast.unparse(call)}` is neither a literal nor a group of this package"
        )
    given = source.literal_keywords(call, path, group[0].name)
    found = {}
    for item in group[0].body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            name = item.target.id
            default = given[name] if name in given else _value(item.value, group[1])
            found[name] = Parameter(name, ast.unparse(item.annotation), default)
    return found


def _value(node: ast.expr | None, path: Path) -> object:
    if node is None:
        return None
    return ast.literal_eval(node) if source.is_literal(node) else ast.unparse(node)


def _decorator(node: ast.FunctionDef, path: Path) -> ast.Call | None:
    for decorator in node.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if isinstance(called, ast.Name) and called.id == "quantity":
            if not isinstance(decorator, ast.Call):
                raise SourceError(path, decorator.lineno, "write @quantity(...), with parentheses")
            return decorator
    return None


def _dependencies(node: ast.FunctionDef, path: Path) -> tuple[Dependency, ...]:
    if node.args.vararg or node.args.kwarg or node.args.kwonlyargs or node.args.posonlyargs:
        raise SourceError(path, node.lineno, f"`{node.name}` takes plain arguments only, each the name of a quantity or a fact")
    arguments, defaults = node.args.args, node.args.defaults
    required = len(arguments) - len(defaults)
    found = []
    for i, argument in enumerate(arguments):
        able = _annotated_capabilities(argument, path) if argument.arg == "model" else ()
        found.append(Dependency(argument.arg, able, optional=i >= required))
    return tuple(found)


def _annotated_capabilities(argument: ast.arg, path: Path) -> tuple[str, ...]:
    """The capabilities that the annotation of `model` names: `SupportsEncode`, or alternatives, `SupportsA | SupportsB`."""
    parts, waiting = [], [argument.annotation]
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            waiting[:0] = [node.left, node.right]
        else:
            parts.append(node.id if isinstance(node, ast.Name) else "")
    if not all(part in protocols() for part in parts):
        known = ", ".join(protocols())
        raise SourceError(
            path, argument.lineno, f"annotate `model` with a protocol of base/capabilities.py, or several by |: {known}"
        )
    return tuple(protocols()[part] for part in parts if protocols()[part] != "fit")
