"""`make bench`: the cost of the default study beside its models, and the speed of planning and training, compared with goals.

Prints a table and writes results/<date-time>.json in this folder. This is a benchmark, not a test: the exit status is 0 even
where a goal is missed, and 1 only where something could not be measured. `bench.py planning throughput` measures only these two.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import planning
import sample_metrics
import throughput
from measurement import Measurement

import project
import report
import study
from pofxy.workflow.provenance import provenance

# In this order: the no-op run needs the finished study.
BENCHMARKS = {
    "study": study.cost,
    "noop": study.noop,
    "planning": planning.measure,
    "report": report.measure,
    "throughput": throughput.measure,
    "sample_metrics": sample_metrics.measure,
}


def main() -> int:
    """Runs the chosen benchmarks; the exit status."""
    parser = argparse.ArgumentParser(description="Measures the speed of pofxy. Without arguments, runs all benchmarks.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"any of {', '.join(BENCHMARKS)}")
    chosen = parser.parse_args().names or list(BENCHMARKS)
    if unknown := set(chosen) - BENCHMARKS.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    if "noop" in chosen and "study" not in chosen:
        parser.error("noop needs the study that it repeats: bench.py study noop")

    origin = {name: value for name, value in provenance({}).items() if name != "config_hash"}
    started = time.strftime("%Y-%m-%d %H:%M:%S")
    load = os.getloadavg()[0]
    print(f"pofxy bench, {started}: {origin['machine']['processor']}, {os.cpu_count()} cores")
    measured: dict[str, Measurement] = {}
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="pofxy-bench-") as folder:
        copy = project.Project.copy(Path(folder) / "project")
        for name in [name for name in BENCHMARKS if name in chosen]:
            try:
                measured[name] = BENCHMARKS[name](copy)
                print(f"\n{measured[name]}", flush=True)
            except Exception as error:  # a benchmark that fails must not stop the others
                failed[name] = f"{type(error).__name__}: {error}"
                print(f"\n{name} could not be measured: {failed[name]}", flush=True)

    if load > 0.5:
        print(f"\nThe load was {load:.1f} before the start: elapsed times are shorter on an idle machine.")
    path = project.ROOT / "benchmarks/results" / f"{started.replace(' ', '-').replace(':', '')}.json"
    path.parent.mkdir(exist_ok=True)
    measurements = {name: measurement.as_json() for name, measurement in measured.items()}
    content = {"date": started, "load": load} | origin | {"measured": measurements, "failed": failed}
    path.write_text(json.dumps(content, indent=1) + "\n")
    print(f"\nWritten to {path.relative_to(project.ROOT)}.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
