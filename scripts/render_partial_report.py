"""Renders the report of a study in which something failed, from what there is. Reads the config as JSON from standard input."""

import json
import sys
from pathlib import Path

from pofxy.report import collect, render

config = json.load(sys.stdin)
collect.collect(config)
render.render(Path(config["results"]), config, Path(config["results"]) / "report/index.html")
collect.close(config)
failed = [run for run in collect.read_runs(config) if run["status"] != "ok"]
print(f"pofxy: {len(failed)} runs failed; the report says why: {config['results']}/report/index.html", file=sys.stderr)
