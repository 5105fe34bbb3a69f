"""From the config to runs and from runs to paths: what a study is going to do. Standard library only."""

import difflib
from dataclasses import dataclass, field
from pathlib import Path

from pofxy import catalog

# Keys of a model's settings that are not hyper-parameters: what it is a variant of, and what its job may use.
RESERVED = ("of", "threads", "time_limit")
# What a metric may ask for that is no verb: the truth of the test split, and what every run knows of its data.
FACTS = ("x", "y", "dimensions", "levels", "test_features")
# What is computed from a verb, and what it needs: any one of the verbs named.
DERIVED = {"log_mass": ("log_prob", "log_prob_bound"), "sample_features": ("sample",)}


class ConfigError(ValueError):
    """The config asks for what there is not; the message names the key and the cause."""


@dataclass(frozen=True)
class Run:
    """One (data set, model, seed): a folder of its own, a row of runs.csv, a child run in MLflow.

    `model` is the name in the config (a variant's own), `of` the file it is made of.
    """

    dataset: str
    model: str
    of: str
    family: str
    seed: int
    verbs: tuple[str, ...]

    @property
    def key(self) -> str:
        return f"{self.dataset}/{self.model}/seed{self.seed}"


@dataclass(frozen=True)
class Source:
    """One data set of the study: the name in the config, the file it is made of, and its arguments."""

    name: str
    of: str
    arguments: dict = field(default_factory=dict)


def sources(config: dict) -> dict[str, Source]:
    """The study's data sets. A list entry is a name or `kind:path`; a mapping gives names of one's own.

    Raises ConfigError for a data set or an argument that does not exist.
    """
    known, wanted = catalog.datasets(), config["datasets"]
    if not isinstance(wanted, dict):
        wanted = {Path(item.partition(":")[2] or item).name: item for item in wanted}
    found = {}
    for name, value in wanted.items():
        if isinstance(value, str):
            kind, _, path = value.partition(":")
            value = {"of": kind, **({"path": path} if path else {})}
        arguments = dict(value or {})
        of = arguments.pop("of", name)
        if of not in known:
            raise ConfigError(f"datasets: unknown data set '{of}'{nearest(of, known)}")
        _check_arguments(f"datasets.{name}", arguments, known[of].parameters)
        found[name] = Source(name, of, arguments)
    return found


def model_names(config: dict) -> list[str]:
    """The discriminative and generative models of the study, variants included, in the order of the catalog.

    Raises ConfigError for a model or a hyper-parameter that does not exist, or has the wrong type.
    """
    known, settings = catalog.models(), config.get("settings", {})
    for name, given in settings.items():
        if "of" in given and name in known:
            raise ConfigError(f"settings.{name}: a variant needs a name of its own, but a model file is called '{name}'")
        of = given.get("of", name)
        if of not in known:
            raise ConfigError(f"settings.{name}: unknown model '{of}'{nearest(of, known)}")
        arguments = {key: value for key, value in given.items() if key not in RESERVED}
        _check_arguments(f"settings.{name}", arguments, known[of].parameters)
    choosable = [name for name, entry in known.items() if entry.family in ("discriminative", "generative")]
    choosable += [name for name, given in settings.items() if "of" in given]
    for key in ("models", "exclude"):
        for name in config.get(key, []) if config.get(key) != "all" else []:
            if name not in choosable:
                raise ConfigError(f"{key}: unknown model '{name}'{nearest(name, choosable)}")
    included = choosable if config["models"] == "all" else config["models"]
    return [name for name in included if name not in config.get("exclude", [])]


def runs(config: dict) -> list[Run]:
    """Every run of the study. Where a model samples, the references and the judge that its samples need come along."""
    known, settings = catalog.models(), config.get("settings", {})
    names = model_names(config)
    if not names:
        raise ConfigError("models: nothing is left to train after 'exclude'")
    of = {name: settings.get(name, {}).get("of", name) for name in names}
    if any("sample" in known[of[name]].verbs for name in names):
        of |= {name: name for name, entry in known.items() if entry.family in ("reference", "judge")}
    return [
        Run(dataset, name, file, known[file].family, seed, known[file].verbs)
        for dataset in sources(config)
        for name, file in of.items()
        for seed in (config["seeds"] if known[file].family in ("discriminative", "generative") else config["seeds"][:1])
    ]


def hyperparameters(config: dict, model: str) -> dict:
    """Deviations of a model from the defaults in its `__init__`."""
    return {key: value for key, value in config.get("settings", {}).get(model, {}).items() if key not in RESERVED}


def evaluations(verbs: tuple[str, ...]) -> dict[str, str]:
    """Metrics by name, each with "" where a model of these verbs gets it, else why not."""
    return {name: _missing(entry.parameters, verbs) for name, entry in catalog.metrics().items()}


def _missing(parameters: dict, verbs: tuple[str, ...]) -> str:
    for name in parameters:
        needed = () if name in FACTS else DERIVED.get(name, (name,))
        if needed and not set(needed) & set(verbs):
            return f"no {' or '.join(needed)}"
    return ""


def _check_arguments(where: str, given: dict, parameters: dict) -> None:
    types = {"int": int, "float": (int, float), "bool": bool, "str": str}
    for key, value in given.items():
        if key not in parameters:
            raise ConfigError(f"{where}: unknown argument '{key}'{nearest(key, parameters)}")
        kind = parameters[key].type.split("|")[0].strip()
        wrong = kind in types and (not isinstance(value, types[kind]) or (isinstance(value, bool) and kind != "bool"))
        if wrong and not (value is None and "None" in parameters[key].type):
            raise ConfigError(f"{where}.{key}: {value!r} is not of type {parameters[key].type}")


def nearest(name: str, known) -> str:
    """The end of an error line: the known name that is most like this one, or all of them."""
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.4)
    return f"; did you mean '{match[0]}'?" if match else f"; there is: {', '.join(sorted(known))}"


def local_files(source: Source) -> list[str]:
    """The user's own files that a data set is read from: those at its `path` argument; none where it is downloaded."""
    if "path" not in source.arguments:
        return []
    path = Path(source.arguments["path"])
    if not path.exists():
        raise ConfigError(f"datasets.{source.name}: there is no {path}")
    return sorted(str(file) for file in path.iterdir() if file.is_file()) if path.is_dir() else [str(path)]
