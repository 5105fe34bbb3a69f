"""Gathers what the runs of a study left in its results folder into three tables, and closes the study in MLflow.

A run that is not whole has a row in runs.csv with its status and the cause.
"""

from pathlib import Path

from pofxy import tracking
from pofxy.storage import files
from pofxy.study import columns, plan
from pofxy.study.run import Run
from pofxy.workflow.provenance import provenance

# Between which references a value is placed; of the ceilings, the first that a data set has.
FLOOR, CEILINGS = "real_train", ("independent_pixels", "noise")


def collect(config: dict) -> None:
    """Writes scores.csv, curves.csv and runs.csv of what is there, whole study or not, and sends all that waits to MLflow."""
    results, runs = Path(config["results"]), plan.runs(config)
    tracking.describe(config, list(plan.sources(config)), provenance(config))
    for run in runs:
        _track_end(results, run, _status(config, run, runs)[0])
    tracking.deliver(results)
    ids = tracking.run_ids(results)
    rows = [_row(config, run, runs, ids) for run in runs]
    whole = {(row["dataset"], row["model"], row["seed"]) for row in rows if row["status"] == "ok"}
    scores, curves = [], []
    for run in runs:
        if run.family != "feature_net" and (run.dataset, run.model, run.seed) in whole:
            scores += files.read_csv(_folder(results, run) / "scores.csv")
            curves += files.read_csv(_folder(results, run) / "curves.csv")
            curves += _learning_curve(results, run, scores) if plan.learns(config, run) else []
    files.write_csv(results / "report/scores.csv", _positioned(scores), columns.SCORES)
    files.write_csv(results / "report/curves.csv", curves, columns.CURVES)
    files.write_csv(results / "report/runs.csv", rows, columns.RUNS)


def read_runs(config: dict) -> list[dict[str, str]]:
    """The rows of report/runs.csv."""
    return files.read_csv(Path(config["results"]) / "report/runs.csv")


def close(config: dict) -> None:
    """Ends the study's parent run of each data set in MLflow, with the report as an artifact, and every child that still runs."""
    results, runs = Path(config["results"]), read_runs(config)
    for dataset in plan.sources(config):
        failed = [run["model"] for run in runs if run["dataset"] == dataset and run["status"] != "ok"]
        tracker = tracking.Tracker(results, dataset)
        for name in ("index.html", "scores.csv", "curves.csv", "runs.csv"):
            tracker.artifact(results / "report" / name, "report")
        tracker.finish("FAILED" if failed else "FINISHED", f"failed: {', '.join(failed)}" if failed else "")
        tracker.flush()
    tracking.deliver(results)


def _learning_curve(results: Path, run: Run, scores: list[dict]) -> list[dict]:
    """A run's accuracy after ever more images per class, and at the end its own, after the whole train split."""
    rows = files.read_csv(_folder(results, run) / "learning/curve.csv")
    counts = files.read_json(results / "data" / run.dataset / "audit.json")["counts"]["train"]
    whose = {"dataset": run.dataset, "model": run.model, "seed": str(run.seed), "metric": "accuracy"}
    whole = next(row for row in scores if whose.items() <= row.items())
    place = {"curve": "learning_curve", "condition": "", "at": round(sum(counts) / len(counts), 1), "draw": 0, "unit": "accuracy"}
    return [*rows, {column: whole.get(column) for column in columns.CURVES} | place]


def _positioned(scores: list[dict]) -> list[dict]:
    """The scores with the place of each between what real images reach, 0, and what independent pixels reach, 1.

    A table has no pixels: its ceiling is noise. Where floor and ceiling are not apart, beyond their intervals, or one of them
    lacks, there is no place.
    """
    ends: dict[tuple, dict[str, tuple[float, ...]]] = {}
    for row in scores:
        if row["family"] == "reference":
            value = tuple(float(row[name]) for name in ("value", "ci_low", "ci_high"))
            ends.setdefault(_scale(row), {}).setdefault(row["model"], value)
    for row in scores:
        known = ends.get(_scale(row), {})
        floor, ceiling = known.get(FLOOR), next((known[name] for name in CEILINGS if name in known), None)
        if floor and ceiling and (floor[2] < ceiling[1] or ceiling[2] < floor[1]):
            row["position"] = (float(row["value"]) - floor[0]) / (ceiling[0] - floor[0])
    return scores


def _scale(row: dict) -> tuple:
    return row["dataset"], row["metric"], row["unit"], row["split"]


def _row(config: dict, run: Run, runs: list[Run], ids: dict[str, str]) -> dict:
    results = Path(config["results"])
    status, reason = _status(config, run, runs)
    train, sample, evaluate = (_figures(_folder(results, run) / f"{stage}.json") for stage in ("train", "sample", "evaluate"))
    if status != "ok":  # what stands after the stage that failed is an earlier run's
        sample, evaluate = {}, {}
    per_1000 = 1000 * sample["sample_seconds"] / sample["n"] if sample else None
    return {
        "dataset": run.dataset,
        "model": run.model,
        "family": run.family,
        "seed": run.seed,
        "status": status,
        "reason": reason,
        "capabilities": " ".join(run.capabilities),
        **{name: train.get(name) for name in ("parameters", "fit_seconds", "peak_mb", "model_bytes")},
        "sample_seconds_per_1000": per_1000,
        **{name: evaluate.get(name) for name in ("predict_ms_per_image", "predict_ms_single")},
        "mlflow_run_id": ids.get(run.key),
    }


def _status(config: dict, run: Run, runs: list[Run]) -> tuple[str, str]:
    """ok, or failed or timeout with the cause: the run's own, or that of what it needs.

    Scores of an earlier run outlive a later failure further up; they do not make the run whole.
    """
    results, learns = Path(config["results"]), plan.learns(config, run)
    folder, data, judged = _folder(results, run), results / "data" / run.dataset, run.family != "feature_net"
    sampled, by_net = judged and "sample" in run.capabilities, judged and plan.uses_feature_net(run.capabilities)
    judges = [
        _folder(results, other) for other in runs if by_net and (other.family, other.dataset) == ("feature_net", run.dataset)
    ]
    needed = [place / "train.json" for place in (folder, *judges)]
    needed += [data / "spec.json", *[folder / "sample.json"] * sampled, *[folder / "scores.csv"] * judged]
    needed += [folder / "learning/curve.csv"] * learns

    if failure := _figures(folder / "failure.json"):
        return failure["status"], f"{failure['stage']}: {failure['reason']}"
    if learns and (failure := _figures(folder / "learning/failure.json")):
        return failure["status"], f"{failure['stage']}: {failure['reason']}"
    if failure := _figures(data / "failure.json"):
        return "failed", f"data set {run.dataset}: {failure['stage']}: {failure['reason']}"
    for judge in judges:
        if failure := _figures(judge / "failure.json"):
            return "failed", f"{judge.parent.name}: {failure['reason']}"
    if all(path.is_file() for path in needed):
        return "ok", ""
    if (folder / "logs").is_dir():
        return "failed", "ended without a word: killed, perhaps for its memory; the log's last line is the last that is known"
    return "failed", "did not run"


def _track_end(results: Path, run: Run, status: str) -> None:
    """What is known only after a run's jobs: Snakemake's figures of each, and that the run is whole, perhaps after a failure."""
    tracker = tracking.Tracker(results, run.key)
    for path in sorted((_folder(results, run) / "logs").glob("*.tsv")):
        rows = files.read_csv(path, delimiter="\t")
        if rows:
            figures = {f"benchmark/{path.stem}/{name}": float(value) for name, value in rows[0].items() if _is_number(value)}
            # The job's time, so that a study collected twice has each figure once.
            tracker.metrics(figures, at=path.stat().st_mtime)
    if status == "ok":
        tracker.finish()
    tracker.flush()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.lower() != "nan"


def _figures(path: Path) -> dict:
    return files.read_json(path) if path.is_file() else {}


def _folder(results: Path, run: Run) -> Path:
    return results / "runs" / run.key
