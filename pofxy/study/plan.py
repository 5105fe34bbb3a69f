"""From the config to runs and from runs to paths: what a study is going to do. Standard library only."""

import difflib
import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from pofxy.study import catalog, fingerprint
from pofxy.study.run import Run

# Keys of a model's settings that are not hyper-parameters: what it is a variant of, and what its job may use.
RESERVED = ("of", "threads", "time_limit")
# Keys and arguments of earlier versions, and what they are called now.
RENAMED = {
    "outliers": "ood_datasets",
    "average": "ema_decay",
    "angle": "degrees",
    "codes": "latent_dim",
    "components": "n_components",
    "couplings": "n_couplings",
    "draws": "n_importance_samples",
    "inverse_penalty": "C",
    "leaves": "max_leaf_nodes",
    "max_iterations": "max_iter",
    "min_leaf": "min_samples_leaf",
    "neighbors": "n_neighbors",
    "pixels": "max_features",
    "rounds": "max_iter",
    "scales": "n_scales",
    "shift": "translate",
    "steps_per_scale": "n_flow_steps",
    "stretch": "scale",
    "trees": "n_estimators",
}


class ConfigError(ValueError):
    """The config asks for what there is not; the message names the key and the cause."""


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
        named = [(Path(item.partition(":")[2] or item).name, item) for item in wanted]
        wanted = dict(named)
        if len(wanted) < len(named):
            raise ConfigError("datasets: two folders have one name; write a mapping that gives each a name of its own")
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
    named = {"models": config["models"], "exclude": config.get("exclude", [])}
    named["learning_curve.models"] = config.get("learning_curve", {}).get("models", [])
    for key, names in named.items():
        for name in names if isinstance(names, list) else []:  # else "all" or "quick"
            if name not in choosable:
                raise ConfigError(f"{key}: unknown model '{name}'{nearest(name, choosable)}")
    included = choosable if config["models"] == "all" else config["models"]
    return [name for name in included if name not in config.get("exclude", [])]


def runs(config: dict) -> list[Run]:
    """Every run of the study.

    Where a model samples or fills in, the references and the judge that it is held against come along; where the law of a data
    set is known, so does its oracle. A model that takes images alone has no run on a table.

    Raises ConfigError where a data set is left without a run.
    """
    known, settings, kinds = catalog.models(), config.get("settings", {}), catalog.datasets()
    names = model_names(config)
    if not names:
        raise ConfigError("models: nothing is left to train after 'exclude'")
    of = {name: settings.get(name, {}).get("of", name) for name in names}
    samples = any(uses_feature_net(known[file].capabilities) for file in of.values())
    found = []
    for dataset, source in sources(config).items():
        table = kinds[source.of].table
        fitting = {name: file for name, file in of.items() if not (table and known[file].tags.images_only)}
        if not fitting:
            raise ConfigError(f"models: none of them can be fitted to {dataset}: they need images, and it is a table")
        for name, entry in known.items():
            wanted = samples and not (table and entry.tags.images_only)
            if entry.tags.needs_known_distribution:
                wanted = bool(kinds[source.of].distribution)
            if entry.family in ("reference", "feature_net") and wanted:
                fitting[name] = name
        for name, file in fitting.items():
            compared = known[file].family in ("discriminative", "generative")
            seeds = config["seeds"] if compared else config["seeds"][:1]
            found += [Run(dataset, name, file, known[file].family, seed, known[file].capabilities) for seed in seeds]
    return found


@cache
def uses_feature_net(capabilities: tuple[str, ...]) -> bool:
    """Whether some score or curve of a model of these capabilities is made with the data set's feature net."""
    return any(
        not catalog.why_not(entry.dependencies, capabilities) and catalog.depends_on(entry.dependencies, "feature_net")
        for entry in _evaluated()
    )


def code_of_evaluation(run: Run, feature_net: str | None) -> dict[str, str]:
    """Fingerprints of all that a run's evaluation is made of, part by part.

    Args:
        run: that is evaluated.
        feature_net: the model file of the study's feature net; None where there is none.

    Returns:
        By "model" and "feature_net" those of the models, and by its path below the package that of each file of a metric or
        quantity that the model gets.
    """
    known = catalog.models()
    nets = [known[feature_net].path] if feature_net and uses_feature_net(run.capabilities) else []
    own = {"model": fingerprint.fingerprint(known[run.of].path), "feature_net": fingerprint.fingerprint(*nets)}
    return own | _code_of_quantities(run.capabilities)


@cache
def _code_of_quantities(capabilities: tuple[str, ...]) -> dict[str, str]:
    measuring = catalog.PACKAGE / "evaluation/scores.py"
    found = {}
    for entry in (*catalog.metrics().values(), *catalog.quantities().values()):
        if not catalog.why_not(entry.dependencies, capabilities):
            more = [measuring] if isinstance(entry, catalog.MetricEntry) else []
            found[str(entry.path.relative_to(catalog.PACKAGE))] = fingerprint.fingerprint(entry.path, *more)
    return found


def _evaluated() -> list[catalog.MetricEntry | catalog.QuantityEntry]:
    """What an evaluation shows: metrics and curves."""
    return [*catalog.metrics().values(), *(entry for entry in catalog.quantities().values() if entry.curve)]


def report_files() -> list[Path]:
    """The code of the report that is found by name and imported nowhere: figures and verdicts."""
    return [path for folder in ("figures", "verdicts") for path in sorted((catalog.PACKAGE / "report" / folder).glob("*.py"))]


def shown_files() -> list[Path]:
    """The files whose text the report shows: templates, and the docstrings of figures, verdicts, metrics and models."""
    templates = [path for path in (catalog.PACKAGE / "report").iterdir() if path.suffix in (".j2", ".css", ".js")]
    entries = [*catalog.metrics().values(), *catalog.models().values()]
    return [*templates, *report_files(), *(entry.path for entry in entries)]


def learns(config: dict, run: Run) -> bool:
    """Whether a run is fitted to ever larger subsets as well: models that classify, each with the study's first seed."""
    wanted = config.get("learning_curve", {}).get("models", "quick")
    if run.family not in ("discriminative", "generative") or "predict" not in run.capabilities or run.seed != config["seeds"][0]:
        return False
    slow = run.family == "generative" and _in_steps(run)
    return not slow if wanted == "quick" else wanted == "all" or run.model in wanted


def subsets(config: dict, run: Run) -> dict:
    """The subsets that a run is fitted to, and how: arguments of `learning.Subsets`."""
    given = config.get("learning_curve", {})
    deep = _in_steps(run)
    # More draws of what is quickly fitted: its curve at few images is the one that two regimes are read from.
    draws = given.get("deep_draws", 3) if deep else given.get("draws", 5)
    steps = given.get("deep_steps", 80) if deep else None
    sizes, passes = given.get("sizes", [1, 2, 5, 10, 20, 50, 100]), given.get("deep_passes", 20)
    return {"sizes": sizes, "draws": draws, "steps": steps, "passes": passes}


def _in_steps(run: Run) -> bool:
    return catalog.models()[run.of].tags.trained_in_steps


def hyperparameters(config: dict, model: str) -> dict:
    """Deviations of a model from the defaults in its `__init__`."""
    return {key: value for key, value in config.get("settings", {}).get(model, {}).items() if key not in RESERVED}


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
    """The end of an error line: what a name of an earlier version is called now, else the most similar known name, else all."""
    if RENAMED.get(name) in known:
        return f"; it is called '{RENAMED[name]}' now"
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


def ood_datasets(config: dict, dataset: str) -> list[str]:
    """The data sets of the study whose images are out of distribution for this one: what `ood_datasets` names, one or none."""
    known, kinds, wanted = sources(config), catalog.datasets(), config.get("ood_datasets", {})
    for name in {*wanted, *wanted.values()}:
        if name not in known:
            raise ConfigError(f"ood_datasets: unknown data set '{name}'{nearest(name, known)}")
        if kinds[known[name].of].table:
            raise ConfigError(f"ood_datasets: {name} is a table; out-of-distribution images are images")
    return [wanted[dataset]] if dataset in wanted else []


def weights(config: dict) -> list[str]:
    """The user's own file of the standard feature net's weights; none where it is off or downloaded."""
    named = config.get("inception")
    if named in (None, "download"):
        return []
    if not Path(named).is_file():
        raise ConfigError(f"inception: there is no {named}")
    return [named]


# Seconds of a job where no earlier run tells: somewhat more than the default study took on one core.
GUESSES = {"train": 7, "learn": 10, "sample": 2, "evaluate": 4}
GUESS_OF_OTHERS = 3


@dataclass(frozen=True)
class Job:
    """One job that is to run: its rule, its threads, and the file that Snakemake notes its seconds in (None: in none)."""

    rule: str
    threads: int = 1
    benchmark: str | None = None


def describe(jobs: list[Job], places: int, runs: Path) -> str:
    """Two lines for the terminal: how many jobs of which rule, and about how long they will take.

    Args:
        jobs: what is to run, in the order in which the rules are to be named.
        places: cores of this machine, or jobs at once on a cluster.
        runs: the folder of the study's runs, where earlier ones left how long they took.
    """
    rules, earlier = Counter(job.rule for job in jobs), _earlier_seconds(runs)
    seconds = [_expected_seconds(job, earlier) for job in jobs]
    work = sum(part * min(job.threads, places) for job, part in zip(jobs, seconds))
    source = "as long as earlier runs took" if any(rule in earlier for rule in rules) else "a guess: no earlier run tells"
    return (
        f"{len(jobs)} jobs: {', '.join(f'{count} {rule}' for rule, count in rules.items())}\n"
        f"about {_duration(max(work / places, *seconds))} with {places} at once ({source})"
    )


def _earlier_seconds(runs: Path) -> dict:
    """Wall seconds of earlier jobs, by their benchmark file, by (model, rule) and by rule."""
    found = defaultdict(list)
    for path in runs.glob("*/*/seed*/logs/*.tsv"):
        lines = path.read_text(encoding="utf-8").splitlines()
        for key in (path, (path.parents[2], path.stem), path.stem) if len(lines) > 1 else ():
            found[key].append(float(lines[-1].split("\t")[0]))
    return found


def _expected_seconds(job: Job, earlier: dict) -> float:
    """What this job took before; else what the model took with other seeds; else what the rule took; else a guess."""
    keys = [job.rule]
    if job.benchmark:
        path = Path(job.benchmark)
        keys = [path, (path.parents[2], path.stem), job.rule]
    known = next((earlier[key] for key in keys if key in earlier), None)
    return statistics.median(known) if known else GUESSES.get(job.rule, GUESS_OF_OTHERS)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
