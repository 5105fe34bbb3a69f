"""Collects the results of all runs of a study into three tables, and ends the study in MLflow.

A run that failed has a row in runs.csv with its status and the cause.
"""

from dataclasses import replace
from pathlib import Path

from pofxy import tracking
from pofxy.storage import files
from pofxy.study import columns, plan
from pofxy.study.run import Run
from pofxy.workflow.provenance import provenance

# The reference models at 0 and at 1 of a normalized score; of the ceilings, the first that a data set has.
FLOOR = "real_train"
CEILINGS = ("independent_pixels", "noise")


def collect(config: dict) -> None:
    """Writes scores.csv, curves.csv and runs.csv from what there is, and sends everything that is still queued to MLflow."""
    results = Path(config["results"])
    runs = plan.runs(config)
    tracking.describe(config, list(plan.sources(config)), provenance(config))
    feature_nets = {run.dataset: run for run in runs if run.family == "feature_net"}
    models = tuple(dict.fromkeys(run.model for run in runs))
    statuses = [status_of(config, run, feature_nets.get(run.dataset), models) for run in runs]
    for run, (status, _) in zip(runs, statuses):
        _track_end(results, run, status)
    tracking.deliver(results)
    ids = tracking.run_ids(results)
    rows = [_row(results, run, *status, ids) for run, status in zip(runs, statuses)]
    successful = {(row["dataset"], row["model"], row["seed"]) for row in rows if row["status"] == "ok"}
    scores: list[dict] = []
    curves: list[dict] = []
    for run in runs:
        if run.family != "feature_net" and (run.dataset, run.model, run.seed) in successful:
            own = files.read_csv(_folder(results, run) / "scores.csv")
            scores += own
            curves += files.read_csv(_folder(results, run) / "curves.csv")
            curves += _learning_curve(results, run, own) if plan.learns(config, run) else []
    files.write_csv(results / "report/scores.csv", with_normalized_scores(scores), columns.SCORES)
    files.write_csv(results / "report/curves.csv", curves, columns.CURVES)
    files.write_csv(results / "report/runs.csv", rows, columns.RUNS)


def read_runs(config: dict) -> list[dict[str, str]]:
    """The rows of report/runs.csv."""
    return files.read_csv(Path(config["results"]) / "report/runs.csv")


def close(config: dict) -> None:
    """Ends the study's parent run of each data set in MLflow, with the report as an artifact, and every child still running."""
    results = Path(config["results"])
    runs = read_runs(config)
    for dataset in plan.sources(config):
        failed = [run["model"] for run in runs if run["dataset"] == dataset and run["status"] != "ok"]
        tracker = tracking.Tracker(results, dataset)
        for name in ("index.html", "scores.csv", "curves.csv", "runs.csv"):
            tracker.artifact(results / "report" / name, "report")
        tracker.finish("FAILED" if failed else "FINISHED", f"failed: {', '.join(failed)}" if failed else "")
        tracker.flush()
    tracking.deliver(results)


def with_normalized_scores(scores: list[dict]) -> list[dict]:
    """Adds to each score its `normalized_score`: 0 at the score of the floor, 1 at the score of the ceiling.

        normalized score = (score - floor) / (ceiling - floor),     floor: real_train,  ceiling: independent_pixels or noise

    A table has no pixels: its ceiling is noise. There is no normalized score where the floor or the ceiling is missing, or where
    the two do not differ beyond their intervals.

    Args:
        scores: rows of scores.csv; changed in place.

    Returns:
        The same rows.
    """
    references: dict[tuple, dict[str, tuple[float, float, float]]] = {}
    for row in scores:
        if row["family"] == "reference":
            value = (float(row["value"]), float(row["ci_low"]), float(row["ci_high"]))
            references.setdefault(_scale(row), {}).setdefault(row["model"], value)
    for row in scores:
        known = references.get(_scale(row), {})
        ceilings = [known[name] for name in CEILINGS if name in known]
        if FLOOR not in known or not ceilings:
            continue
        floor, floor_low, floor_high = known[FLOOR]
        ceiling, ceiling_low, ceiling_high = ceilings[0]
        if floor_high < ceiling_low or ceiling_high < floor_low:
            row["normalized_score"] = (float(row["value"]) - floor) / (ceiling - floor)
    return scores


def _scale(row: dict) -> tuple:
    """Scores with the same scale are comparable."""
    return row["dataset"], row["metric"], row["unit"], row["split"]


def _learning_curve(results: Path, run: Run, scores: list[dict]) -> list[dict]:
    """A run's accuracies on training subsets of growing size, and at the end the accuracy after the whole train split.

    `scores` are the run's own.
    """
    rows = files.read_csv(_folder(results, run) / "learning/curve.csv")
    counts = files.read_json(results / "data" / run.dataset / "audit.json")["counts"]["train"]
    whole = next(row for row in scores if row["metric"] == "accuracy")
    place = {"curve": "learning_curve", "condition": "", "at": round(sum(counts) / len(counts), 1), "draw": 0, "unit": "accuracy"}
    return [*rows, {column: whole.get(column) for column in columns.CURVES} | place]


def _row(results: Path, run: Run, status: str, reason: str, ids: dict[str, str]) -> dict:
    """A run's row of runs.csv; `ids` are MLflow's run ids by key."""
    folder = _folder(results, run)
    train = _read_json(folder / "train.json")
    # The stages after one that failed are those of an earlier run.
    sample = _read_json(folder / "sample.json") if status == "ok" else {}
    evaluate = _read_json(folder / "evaluate.json") if status == "ok" else {}
    return run.columns | {
        "status": status,
        "reason": reason,
        "capabilities": " ".join(run.capabilities),
        **{name: train.get(name) for name in ("parameters", "fit_seconds", "peak_mb", "model_bytes")},
        "sample_seconds_per_1000": 1000 * sample["sample_seconds"] / sample["n"] if sample else None,
        **{name: evaluate.get(name) for name in ("predict_ms_per_image", "predict_ms_single")},
        "mlflow_run_id": ids.get(run.key),
    }


def status_of(config: dict, run: Run, net: Run | None, models: tuple[str, ...]) -> tuple[str, str]:
    """ok, or failed or timeout with the cause: the run's own, or the cause of what it depends on.

    Scores of an earlier run remain after a later failure of an earlier stage. They do not make the run successful.

    Args:
        config: the study's config.
        run: whose status it is.
        net: the feature net of its data set; None where there is none.
        models: names of the study's models, of which a calibrated one may take its fit.
    """
    results = Path(config["results"])
    folder = _folder(results, run)
    data = results / "data" / run.dataset
    learns = plan.learns(config, run)
    evaluated = run.family != "feature_net"
    feature_nets = []
    if net and evaluated and plan.uses_feature_net(run.capabilities):
        feature_nets = [_folder(results, net)]
    needed = [data / "spec.json", *(place / "train.json" for place in (folder, *feature_nets))]
    if evaluated:
        needed.append(folder / "scores.csv")
    if evaluated and "sample" in run.capabilities:
        needed.append(folder / "sample.json")
    if learns:
        needed.append(folder / "learning/curve.csv")

    if failure := _read_json(folder / "failure.json"):
        return failure["status"], f"{failure['stage']}: {failure['reason']}"
    if learns and (failure := _read_json(folder / "learning/failure.json")):
        return failure["status"], f"{failure['stage']}: {failure['reason']}"
    if failure := _read_json(data / "failure.json"):
        return "failed", f"data set {run.dataset}: {failure['stage']}: {failure['reason']}"
    for feature_net in feature_nets:
        if failure := _read_json(feature_net / "failure.json"):
            return "failed", f"{feature_net.parent.name}: {failure['reason']}"
    plain = plan.uncalibrated(config.get("settings", {}), run.model, models)
    if plain and (failure := _read_json(_folder(results, replace(run, model=plain)) / "failure.json")):
        return "failed", f"{plain}: {failure['reason']}"
    if all(path.is_file() for path in needed):
        return "ok", ""
    if (folder / "logs").is_dir():
        return "failed", "ended without a message, perhaps killed for lack of memory; see the end of its log"
    return "failed", "did not run"


def _track_end(results: Path, run: Run, status: str) -> None:
    """Sends what is known only after a run's jobs: what each cost, and success, perhaps after an earlier failure."""
    tracker = tracking.Tracker(results, run.key)
    for path in sorted((_folder(results, run) / "logs").glob("*.tsv")):
        rows = files.read_csv(path, delimiter="\t")
        if rows:
            cost: dict[str, float | None] = {f"cost/{path.stem}/{name}": float(value) for name, value in rows[0].items()}
            # The time of the job, so that a study that is collected twice has each number once.
            tracker.metrics(cost, at=path.stat().st_mtime)
    if status == "ok":
        tracker.finish()
    tracker.flush()


def _read_json(path: Path) -> dict:
    """A JSON object; empty where there is no such file."""
    return files.read_json(path) if path.is_file() else {}


def _folder(results: Path, run: Run) -> Path:
    return results / "runs" / run.key
