"""What a study in the folder of the smoke study left behind."""

import csv
import re
from pathlib import Path

RESULTS = Path("results/smoke")
JOB = re.compile(r"^Job \d+: (\w+)(?: (\w+) on )?", re.MULTILINE)


def rows(project, name):
    """The rows of a table of its report."""
    with (project.folder / RESULTS / "report" / name).open(newline="") as file:
        return list(csv.DictReader(file))


def models(rule, text):
    """The models that a run of Snakemake started this rule for."""
    return {model for name, model in JOB.findall(text) if name == rule}
