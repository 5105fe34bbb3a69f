"""From the config to runs: what a study is going to do. Standard library only."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pofxy.study import catalog
from pofxy.study.run import Run

# Keys of a model's settings that are no hyperparameters: the file of a variant, its calibration, and the resources of its job.
RESERVED = ("of", "calibrate", "threads", "time_limit")
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
    "penalised": "penalized",
    "pixels": "max_features",
    "rounds": "max_iter",
    "scales": "n_scales",
    "shift": "translate",
    "steps_per_scale": "n_flow_steps",
    "stretch": "scale",
    "trees": "n_estimators",
}


class ConfigError(ValueError):
    """The config asks for something that does not exist; the message names the key and the cause."""


@dataclass(frozen=True)
class Source:
    """One data set of the study: its name in the config, the name of its file in data/datasets/, and its arguments."""

    name: str
    of: str
    arguments: dict = field(default_factory=dict)


def sources(config: dict) -> dict[str, Source]:
    """The study's data sets. A list entry is a name or `kind:path`; a mapping gives each a name of its own.

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

    Raises ConfigError for a model or a hyperparameter that does not exist, or has the wrong type.
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
        if given.get("calibrate") and (reason := catalog.why_not_calibrated(known[of])):
            raise ConfigError(f"settings.{name}.calibrate: {of} cannot be calibrated: {reason}")
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

    Where a score of some model needs the feature net, the study also has the feature net and the references; where the
    distribution of a data set is known, also its oracle. A model that takes only images has no run on a table.

    Raises ConfigError where a data set is left without a run.
    """
    known, settings, kinds = catalog.models(), config.get("settings", {}), catalog.datasets()
    names = model_names(config)
    if not names:
        raise ConfigError("models: nothing is left to train after 'exclude'")
    of = {name: settings.get(name, {}).get("of", name) for name in names}
    plain = [file for name, file in of.items() if not settings.get(name, {}).get("calibrate")]
    samples = any(uses_feature_net(known[file].capabilities) for file in plain)
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
            calibrate = settings.get(name, {}).get("calibrate", "")
            able = catalog.calibrated_capabilities(known[file], calibrate) if calibrate else known[file].capabilities
            found += [Run(dataset, name, file, known[file].family, seed, able, calibrate) for seed in seeds]
    return found


@cache
def uses_feature_net(capabilities: tuple[str, ...]) -> bool:
    """Whether some score or curve of a model of these capabilities is made with the data set's feature net."""
    return any(
        not catalog.why_not(entry.dependencies, capabilities) and catalog.depends_on(entry.dependencies, "feature_net")
        for entry in _evaluated()
    )


def _evaluated() -> list[catalog.MetricEntry | catalog.QuantityEntry]:
    """What an evaluation shows: metrics and curves."""
    return [*catalog.metrics().values(), *(entry for entry in catalog.quantities().values() if entry.curve)]


def learns(config: dict, run: Run) -> bool:
    """Whether a run has a learning curve: models that classify, each with the study's first seed."""
    wanted = config.get("learning_curve", {}).get("models", "quick")
    if run.family not in ("discriminative", "generative") or "predict" not in run.capabilities or run.seed != config["seeds"][0]:
        return False
    # Calibration changes no predicted label, or few: the curve of accuracies would be the model's own.
    slow = bool(run.calibrate) or (run.family == "generative" and _in_steps(run))
    return not slow if wanted == "quick" else wanted == "all" or run.model in wanted


def subsets(config: dict, run: Run) -> dict:
    """The subsets of a run's learning curve: arguments of `learning_curve.Subsets`."""
    given = config.get("learning_curve", {})
    deep = _in_steps(run)
    # More draws of models that are fitted quickly: their curves at few images show the two regimes.
    draws = given.get("deep_draws", 3) if deep else given.get("draws", 5)
    steps = given.get("deep_steps", 80) if deep else None
    sizes, passes = given.get("sizes", [1, 2, 5, 10, 20, 50, 100]), given.get("deep_passes", 20)
    return {"sizes": sizes, "draws": draws, "steps": steps, "passes": passes}


def _in_steps(run: Run) -> bool:
    return catalog.models()[run.of].tags.trained_in_steps


def hyperparameters(config: dict, model: str) -> dict:
    """The hyperparameters that the config sets, by name; all others have their defaults."""
    return {key: value for key, value in config.get("settings", {}).get(model, {}).items() if key not in RESERVED}


def uncalibrated(settings: dict, model: str, models: Iterable[str]) -> str | None:
    """The model that differs from a calibrated one in `calibrate` alone: its fit is the same.

    Args:
        settings: of the config.
        model: name of a model.
        models: names of the models to choose from.

    Returns:
        Its name; None where there is none, or `model` is not calibrated.
    """

    def fit_of(name: str) -> tuple[str, dict]:
        return settings.get(name, {}).get("of", name), hyperparameters({"settings": settings}, name)

    if not settings.get(model, {}).get("calibrate"):
        return None
    plain = (name for name in models if not settings.get(name, {}).get("calibrate"))
    return next((name for name in plain if fit_of(name) == fit_of(model)), None)


def work(config: dict, run: Run) -> float:
    """The steps of a run's training times the batch size; 0 for a model that is not trained in steps."""
    if not _in_steps(run):
        return 0
    defaults: dict[str, Any] = {name: parameter.default for name, parameter in catalog.models()[run.of].parameters.items()}
    settings = defaults | hyperparameters(config, run.model)
    return float(settings["steps"]) * float(settings.get("batch", 1))


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
    """The user's own files that a data set is read from, at its argument `path`; none where it is downloaded."""
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
    """The user's own file of weights of the standard feature net; none where it is off or downloaded."""
    named = config.get("inception")
    if named in (None, "download"):
        return []
    if not Path(named).is_file():
        raise ConfigError(f"inception: there is no {named}")
    return [named]
