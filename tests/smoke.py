"""What the smoke study (config/smoke.yaml) writes, for tests that run it in a copy of the project."""

import csv
import re
from pathlib import Path

RESULTS = Path("results/smoke")
# A line of Snakemake's log that announces a job: its rule, and the model where there is one.
JOB = re.compile(r"^Job \d+: (\w+)(?: (\w+) on )?", re.MULTILINE)


def rows(project, name: str) -> list[dict[str, str]]:
    """The rows of a table of the report, such as "scores.csv", in a copy of the project."""
    with (project.folder / RESULTS / "report" / name).open(newline="") as file:
        return list(csv.DictReader(file))


def models(rule: str, log: str) -> set[str]:
    """The models for which Snakemake started a rule, by its log."""
    return {model for name, model in JOB.findall(log) if name == rule}
