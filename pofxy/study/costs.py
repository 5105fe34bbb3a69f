"""What the jobs of the default study took on one machine: figures that other studies and machines are scaled from.

    make costs        writes costs.json from the results of a finished default study that ran in one go

`growth.json` says how each model's cost grows with the numbers in an image; `python benchmarks/growth.py` measures it. Both are
shipped. Standard library only.
"""

import hashlib
import json
import sys
import time
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

from pofxy.study import catalog, sizes

COSTS = Path(__file__).with_name("costs.json")
GROWTH = Path(__file__).with_name("growth.json")
# Where the speed of this machine is remembered, below the folder that Snakemake runs in.
MACHINE = Path(".snakemake/pofxy_machine.json")
# Seconds of a job outside of runs: downloads, tables, the report.
SECONDS_OF_OTHERS = 3


@cache
def shipped() -> dict[str, Any]:
    """costs.json; empty where there is none.

    Its keys: "speed" (core-seconds of `machine_speed` there), "between" (core-seconds of the machine that pass per job outside of
    jobs), "start" (seconds by rule that the shortest job took), "sizes" (by data set), "jobs" (by data set, model and rule:
    seconds, megabytes of memory, and for trainings steps times batch size), "disk" (megabytes by data set and model).
    """
    return _read(COSTS)


@cache
def growth() -> dict[str, dict[str, float]]:
    """growth.json: by model, the exponents of "fit" and "evaluate"."""
    return _read(GROWTH)


def machine_speed(path: Path = MACHINE) -> float:
    """Core-seconds of a fixed piece of work on this machine: about half a second, and remembered in a file.

    Core-seconds, so that a busy machine does not count as a slow one.
    """
    known = _read(path).get("speed")
    if known:
        return known
    started = time.process_time()
    data = bytes(1_000_000)
    total = 0.0
    for _ in range(120):
        total += hashlib.sha256(data).digest()[0]
        total += sum(i * 0.5 for i in range(100_000))
    speed = round(time.process_time() - started, 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"speed": speed}), encoding="utf-8")
    return speed


def times(runs: Path) -> dict[Path, tuple[float, float]]:
    """Seconds and megabytes of memory of all jobs of runs that have run, as `time_of` gives them, by their files."""
    costs = {path: time_of(path) for path in runs.glob("*/*/seed*/logs/*.tsv")}
    return {path: cost for path, cost in costs.items() if cost}


def time_of(path: Path) -> tuple[float, float] | None:
    """Seconds and megabytes of memory (NaN where it is not known) that a job wrote; None where it has not run."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    if len(lines) < 2:
        return None
    row = dict(zip(lines[0].split("\t"), lines[-1].split("\t")))
    return float(row["s"]), _number(row.get("max_rss", ""))


def collect(results: Path) -> dict[str, Any]:
    """What `shipped` returns, from the results of a study that ran in one go on all cores of this machine.

    Raises:
        FileNotFoundError: where the study is not finished.
    """
    took = times(results / "runs")
    jobs: dict[str, Any] = defaultdict(lambda: defaultdict(dict))
    disk: dict[str, Any] = defaultdict(dict)
    cores = 1
    for path, (seconds, memory) in sorted(took.items()):
        run = path.parents[1]
        dataset, model = run.parts[-3:-1]
        if model not in catalog.models():
            continue
        jobs[dataset][model][path.stem] = {"seconds": round(seconds, 2), "memory": round(memory) if memory == memory else 0}
        if path.stem == "train":
            train = _read(run / "train.json")
            cores = train["provenance"]["machine"]["cores"]
            if catalog.models()[model].tags.trained_in_steps:
                jobs[dataset][model]["train"]["work"] = train["settings"]["steps"] * train["settings"].get("batch", 1)
            disk[dataset][model] = _megabytes(run)
    folders = [results / "data" / dataset for dataset in jobs]
    known_sizes = {folder.name: sizes.measured(folder) for folder in folders}
    report = results / "report/index.html"
    others = 4 + 2 * len(folders)
    elapsed = report.stat().st_mtime - min(path.stat().st_mtime for path in results.glob("data/*/raw"))
    # What lies elsewhere, MLflow's copies above all, is shared out among the runs.
    share = _megabytes(results) / sum(megabytes for models in disk.values() for megabytes in models.values())
    outside = elapsed * cores - sum(seconds for seconds, _ in took.values()) - others * SECONDS_OF_OTHERS
    return {
        "speed": machine_speed(),
        "between": round(max(outside, 0) / (len(took) + others), 3),
        "start": {rule: min(s for path, (s, _) in took.items() if path.stem == rule) for rule in sorted({p.stem for p in took})},
        "sizes": {name: vars(size) for name, size in known_sizes.items() if size},
        "jobs": jobs,
        "disk": {name: {model: round(part * share, 2) for model, part in models.items()} for name, models in disk.items()},
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _megabytes(folder: Path) -> float:
    """What all files below a folder take on the disk, where a small file takes a whole block."""
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file()) / 1e6


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _text(figures: dict[str, Any]) -> str:
    """JSON with a line for each model of "jobs", and one for each other key."""
    datasets = [f"  {json.dumps(name)}: {{\n{_lines(models, 3)}\n  }}" for name, models in figures["jobs"].items()]
    others = {key: value for key, value in figures.items() if key != "jobs"}
    return "{\n" + _lines(others, 1) + ',\n "jobs": {\n' + ",\n".join(datasets) + "\n }\n}\n"


def _lines(figures: dict[str, Any], indent: int) -> str:
    return ",\n".join(f"{' ' * indent}{json.dumps(key)}: {json.dumps(value)}" for key, value in figures.items())


if __name__ == "__main__":
    COSTS.with_suffix(".new").write_text(_text(collect(Path(sys.argv[1]))), encoding="utf-8")
    COSTS.with_suffix(".new").replace(COSTS)
