"""The report of a large study: 200 models on four data sets with five seeds, whose results are made up.

python benchmarks/report.py        prints seconds and peak memory of collecting and rendering
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measurement import Measurement, Result

import project

sys.path.insert(0, str(project.ROOT / "tests"))

COPIES = 25
SEEDS = (0, 1, 2, 3, 4)
DATASETS = ("one", "two", "three", "four")
STEPS = ("collect", "render")


def measure(_: project.Project | None = None) -> Measurement:
    """Seconds and peak memory of collecting and of rendering, each in a process of its own, as the workflow's jobs are."""
    from made_study import make_large_study

    with tempfile.TemporaryDirectory(prefix="pofxy-report-") as folder:
        config = make_large_study(Path(folder) / "results", COPIES, SEEDS, DATASETS)
        file = Path(folder) / "config.json"
        file.write_text(json.dumps(config))
        # No server: what is sent to MLflow while a study runs is sent by its jobs, and is no part of the report.
        server = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
        quiet = os.environ | server | {"PYTHONPATH": str(project.ROOT)}
        measured = {}
        for step in STEPS:
            done = subprocess.run(
                [sys.executable, __file__, step, str(file)], env=quiet, check=True, capture_output=True, text=True
            )
            measured[step] = json.loads(done.stdout.splitlines()[-1])
        page = Path(config["results"]) / "report/index.html"
        megabytes = page.stat().st_size / 1e6
    n_runs = len(config["models"]) * len(DATASETS) * len(SEEDS)
    results = [
        Result("runs", n_runs),
        *(Result(f"{step}, elapsed", cost["seconds"], "s") for step, cost in measured.items()),
        *(Result(f"{step}, CPU time", cost["core_seconds"], "core-s") for step, cost in measured.items()),
        Result("both, elapsed", sum(cost["seconds"] for cost in measured.values()), "s", at_most=60),
        Result("peak memory", max(cost["peak_mb"] for cost in measured.values()), "MB", at_most=2000),
        Result("size of the page", megabytes, "MB"),
    ]
    return Measurement("The report of a large study", results, raw=measured)


def take_step(step: str, config: dict) -> dict[str, float]:
    """Collects or renders in this process; its seconds, core-seconds and peak memory."""
    started = time.perf_counter()
    if step == "collect":
        from pofxy.report.collect import collect

        collect(config)
    else:
        from pofxy.report.render import render

        render(Path(config["results"]), config, Path(config["results"]) / "report/index.html")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return {"seconds": time.perf_counter() - started, "core_seconds": time.process_time(), "peak_mb": peak}


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(take_step(sys.argv[1], json.loads(Path(sys.argv[2]).read_text()))))
    else:
        print(measure())
