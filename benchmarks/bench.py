"""`make bench`: what the default study costs beyond its models, and how fast planning and training are, against the goals.

Prints a table and writes results/<date-time>.json beside this file. A bench, not a test: the exit status is 0 whatever is
reached, and 1 only where something could not be measured. `bench.py planning throughput` measures these two alone.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import judging
import planning
import throughput
from figure import ProbeResult

import study
from pofxy.workflow.provenance import provenance
from project import ROOT, Project

# In this order: the no-op run needs the finished study.
MEASUREMENTS = {
    "study": study.cost,
    "noop": study.noop,
    "planning": planning.measure,
    "throughput": throughput.measure,
    "judging": judging.measure,
}


def main() -> int:
    parser = argparse.ArgumentParser(description="Measures pofxy; without arguments, all of it.")
    parser.add_argument("names", nargs="*", metavar="what", help=f"any of {', '.join(MEASUREMENTS)}")
    wanted = parser.parse_args().names or list(MEASUREMENTS)
    if unknown := set(wanted) - MEASUREMENTS.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    if "noop" in wanted and "study" not in wanted:
        parser.error("noop needs the study that it repeats: bench.py study noop")

    origin = {name: value for name, value in provenance({}).items() if name != "config_hash"}
    started = time.strftime("%Y-%m-%d %H:%M:%S")
    load = os.getloadavg()[0]
    print(f"pofxy bench, {started}: {origin['machine']['processor']}, {os.cpu_count()} cores")
    measured: dict[str, ProbeResult] = {}
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="pofxy-bench-") as folder:
        project = Project.copy(Path(folder) / "project")
        for name in [name for name in MEASUREMENTS if name in wanted]:
            try:
                measured[name] = MEASUREMENTS[name](project)
                print(f"\n{measured[name]}", flush=True)
            except Exception as error:  # one measurement that fails must not take the others with it
                failed[name] = f"{type(error).__name__}: {error}"
                print(f"\n{name} could not be measured: {failed[name]}", flush=True)

    if load > 0.5:
        print(f"\nThe load was {load:.1f} before the start: with this machine to itself, times on the clock are shorter.")
    path = ROOT / "benchmarks/results" / f"{started.replace(' ', '-').replace(':', '')}.json"
    path.parent.mkdir(exist_ok=True)
    found = {name: measurement.as_json() for name, measurement in measured.items()}
    path.write_text(json.dumps({"date": started, "load": load} | origin | {"measured": found, "failed": failed}, indent=1) + "\n")
    print(f"\nWritten to {path.relative_to(ROOT)}.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
