"""Renders the report of a study in which something failed, from what is there; reads the config as JSON from standard input."""

import json
import sys
from pathlib import Path

from pofxy import report, results

config = json.load(sys.stdin)
results.collect(config)
report.render(Path(config["results"]), config, Path(config["results"]) / "report/index.html")
results.close(config)
failed = [run for run in results.read_runs(config) if run["status"] != "ok"]
print(f"pofxy: {len(failed)} runs are not whole; the report says why: {config['results']}/report/index.html", file=sys.stderr)
