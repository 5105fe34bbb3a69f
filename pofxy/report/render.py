"""Renders the results of a study as one HTML page that contains everything it needs: pictures, charts, style and script."""

import importlib
import inspect
import json
import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import jinja2
import pandas as pd
import yaml
from markupsafe import Markup

from pofxy.report.study import Study, run_rows
from pofxy.report.tables import Table, compare
from pofxy.report.verdicts import headline_metrics, verdicts
from pofxy.report.wording import breakable, code, docstring, duration, normalized
from pofxy.storage.files import atomic
from pofxy.study import catalog
from pofxy.workflow.provenance import provenance

logger = logging.getLogger("pofxy")
# How many lines of the log of a failed job are shown, and how many bytes at its end are read for them.
LOG_LINES = 15
LOG_BYTES = 50_000
# A study of more models, counted for each of its data sets, is large: its figures show the best models of each family alone.
LARGE = 150
BEST_OF_FAMILY = 6


def render(results: Path, config: dict, output: Path) -> None:
    """Writes the report.

    Args:
        results: folder of the study. What is missing there is missing in the report, which then says so.
        config: the study's config.
        output: the HTML file. It is replaced only when the new page is complete.
    """
    study = Study.read(results, config)
    tables = {dataset: compare(study, dataset) for dataset in study.datasets}
    all_tables = [table for of_dataset in tables.values() for table in of_dataset]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"code": code, "breakable": breakable, "normalized": normalized}
    page = environment.get_template("index.html.j2").render(
        config=config,
        date=f"{datetime.now():%d %B %Y, %H:%M}".lstrip("0"),
        datasets=study.datasets,
        runs=study.runs,
        counts=study.runs.drop_duplicates("model")["family"].value_counts().to_dict(),
        failed_runs=int((study.runs["status"] != "ok").sum()),
        verdicts={dataset: answers for dataset in study.datasets if (answers := verdicts(study, dataset))},
        tables=tables,
        several_seeds=any(table.several_seeds for table in all_tables),
        figures=draw_figures(study.of_models(best_of_families(study)) if is_large(study) else study),
        models_in_figures=BEST_OF_FAMILY if is_large(study) else 0,
        failures=list_failures(study),
        facts=facts(study),
        config_text=_yaml(config),
        audits={dataset: _yaml(_audit(study, dataset)) for dataset in study.datasets},
        history=run_history(study),
        glossary=glossary(study, all_tables),
        rule=catalog.number_of_images(),
        references={name: entry.summary for name, entry in catalog.models().items() if entry.family == "reference"},
    )
    with atomic(output) as temporary:
        temporary.write_text(page, encoding="utf-8")


def is_large(study: Study) -> bool:
    """Whether the figures have no room for all models of the study."""
    return len(study.runs.drop_duplicates(["dataset", "model"])) > LARGE


def best_of_families(study: Study) -> set[tuple[str, str]]:
    """(data set, model) of the models that the figures of a large study show: the reference models and, of each family, the best.

    The best by each headline metric in turn, until there are BEST_OF_FAMILY; models without such a score come last.
    """
    scores = study.summary[study.summary["metric"].isin(headline_metrics()) & (study.summary["split"] != "train")]
    scores = scores.assign(place=scores.groupby(["dataset", "family", "metric", "unit"])["loss"].rank(method="first"))
    best = scores.groupby(["dataset", "model"])["place"].min()
    models = study.runs.drop_duplicates(["dataset", "model"]).join(best, on=["dataset", "model"])
    models = models.sort_values("place", kind="stable", na_position="last")
    first = models.groupby(["dataset", "family"]).cumcount() < BEST_OF_FAMILY
    chosen = models[first | ~models["family"].isin(["discriminative", "generative"])]
    return set(zip(chosen["dataset"], chosen["model"]))


def draw_figures(study: Study) -> list[dict]:
    """Every figure of the catalog that has something to show, in their ORDER: id, title, caption blocks, markup, fault."""
    shown = []
    for entry in sorted(catalog.figures().values(), key=lambda entry: (entry.order, entry.name)):
        figure = getattr(importlib.import_module(f"pofxy.report.figures.{entry.name}"), entry.public)
        fault = markup = ""
        try:
            markup = draw_figure(figure, study)
        except Exception as error:  # one chart that cannot be drawn must not cost the reader the others: it says so in its place
            logger.exception("figure %s", entry.name)
            fault = f"{type(error).__name__}: {error}"
        if markup or fault:
            text = docstring(entry.path)
            title = text.title.rstrip(".")
            shown.append({"id": entry.name, "title": title, "caption": text.blocks, "markup": markup, "fault": fault})
    return shown


def draw_figure(figure: Callable[..., Markup | None], study: Study) -> Markup | None:
    """One figure of a study: below each other for all of its data sets, each under its name where there are several.

    Args:
        figure: of the study and the name of a data set; or of the study alone, for a figure over all data sets. It gives None
            where it has nothing to show.
        study: that it shows.
    """
    if "dataset" not in inspect.signature(figure).parameters:
        return figure(study)
    parts = []
    for dataset in study.datasets:
        if markup := figure(study, dataset):
            heading = Markup("<h4>{}</h4>").format(dataset) if len(study.datasets) > 1 else ""
            parts.append(heading + markup)
    return Markup("").join(parts) or None


def list_failures(study: Study) -> list[dict]:
    """What failed, data sets first: anchor, name, status, reason, log file and the end of that log.

    Only the first failed seed of a model has an anchor, as the tables link to the model.
    """
    failures = []
    linked = set()
    for dataset in study.datasets:
        folder = study.results / "data" / dataset
        if cause := study.json(folder / "failure.json"):
            failure = _failure(folder, f"data set {dataset}", cause.get("status", "failed"), cause.get("reason", ""))
            failures.append({"anchor": f"{dataset}-data"} | failure)
    for run in run_rows(study.runs[study.runs["status"] != "ok"]):
        folder = study.folder(run.dataset, run.model, run.seed)
        name = f"{run.model}, seed {run.seed}, {run.dataset}"
        anchor = f"{run.dataset}-{run.model}"
        failure = _failure(folder, name, run.status, run.reason)
        failures.append({"anchor": "" if anchor in linked else anchor} | failure)
        linked.add(anchor)
    return failures


def _failure(folder: Path, name: str, status: str, reason: str) -> dict:
    stage = (Study.json(folder / "failure.json") or Study.json(folder / "learning/failure.json")).get("stage", "")
    logs = sorted((path for path in folder.glob("logs/*.log") if path.stat().st_size), key=lambda path: path.stat().st_mtime)
    log = next((path for path in logs if path.stem == stage), logs[-1] if logs else None)
    return {
        "name": name,
        "status": status,
        "reason": reason or "No cause was recorded.",
        "log": str(log or ""),
        "tail": _tail(log) if log else "",
    }


def _tail(path: Path) -> str:
    """The last lines of a log."""
    with open(path, "rb") as file:
        file.seek(max(path.stat().st_size - LOG_BYTES, 0))
        return "\n".join(file.read().decode("utf-8", errors="replace").splitlines()[-LOG_LINES:])


def facts(study: Study) -> dict[str, str]:
    """The provenance of the results, as text by name."""
    origin = provenance(study.config)
    commits = {
        (run_origin["commit"], run_origin["dirty"])
        for run in run_rows(study.runs)
        if (run_origin := study.train(run.dataset, run.model, run.seed).get("provenance"))
    }
    successful = (study.runs["status"] == "ok").sum()
    fit = study.runs["fit_seconds"].sum()
    return {
        "Runs": f"{len(study.runs)}, of which {successful} succeeded; {duration(fit)} of training in total",
        "Seeds": ", ".join(map(str, study.config.get("seeds", []))),
        "Models trained at": "; ".join(sorted(_commit(*commit) for commit in commits)) or "unknown",
        "Report rendered at": _commit(origin["commit"], origin["dirty"]),
        "Config hash": origin["config_hash"],
        "Versions": ", ".join(f"{name} {version}" for name, version in origin["versions"].items()),
        "Machine": ", ".join(f"{value} {name}" if name == "cores" else str(value) for name, value in origin["machine"].items()),
    }


def _commit(commit: str, dirty: bool) -> str:
    return (f"commit {commit[:12]}" if commit else "no git checkout") + (" with uncommitted changes" if dirty else "")


def _audit(study: Study, dataset: str) -> dict:
    folder = study.results / "data" / dataset
    return study.json(folder / "spec.json") | study.json(folder / "audit.json")


def run_history(study: Study) -> list[dict]:
    """Every run, feature nets included: its row of runs.csv, and the wall time of its steps."""
    rows = []
    for run in run_rows(study.runs):
        steps = {}
        for path in sorted(study.folder(run.dataset, run.model, run.seed).glob("logs/*.tsv")):
            seconds = pd.read_csv(path, sep="\t").get("s", pd.Series(dtype=float))
            steps[path.stem] = duration(float(seconds.iloc[-1])) if len(seconds) else "–"
        rows.append(run._asdict() | {"steps": steps})
    return rows


def glossary(study: Study, tables: list[Table]) -> list[dict]:
    """Each metric that is a column of a table: id, name, summary, unit, direction, docstring blocks, estimators here."""
    known = catalog.metrics()
    entries = {}
    for column in (column for table in tables for column in table.columns if column.metric in known):
        entry = known[column.metric]
        text = docstring(entry.path)
        estimators = study.scores[study.scores["metric"] == column.metric]["estimator"]
        entries[column.metric] = {
            "id": entry.name,
            "name": text.name,
            "summary": text.summary,
            "unit": column.unit,
            "direction": column.direction,
            "blocks": text.blocks,
            "estimators": [name for name in estimators.unique() if name],
        }
    return list(entries.values())


def _yaml(value: dict) -> str:
    # Through JSON, as Snakemake passes mappings of its own types, which YAML cannot write.
    return yaml.safe_dump(json.loads(json.dumps(value)), sort_keys=False, allow_unicode=True, default_flow_style=None, width=100)
