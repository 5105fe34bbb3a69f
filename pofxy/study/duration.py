"""How long a study will take, from the times of earlier runs. Standard library only."""

import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

# Guesses where there are no times of an earlier run: a little more than the default study took on one core.
SECONDS = {"train": 7, "learn": 10, "sample": 2, "evaluate": 4}
SECONDS_OF_OTHERS = 3


@dataclass(frozen=True)
class Job:
    """One job that is to run: its rule, its threads, and the file that Snakemake notes its seconds in (None: in none)."""

    rule: str
    threads: int = 1
    benchmark: str | None = None


def describe(jobs: list[Job], places: int, runs: Path) -> str:
    """Two lines for the terminal: how many jobs of which rule, and about how long they will take.

    Args:
        jobs: what is to run, in the order in which the rules are to be named.
        places: cores of this machine, or jobs at once on a cluster.
        runs: the folder of the study's runs, where earlier ones left how long they took.
    """
    rules, earlier = Counter(job.rule for job in jobs), _earlier_seconds(runs)
    seconds = [_expected_seconds(job, earlier) for job in jobs]
    work = sum(part * min(job.threads, places) for job, part in zip(jobs, seconds))
    source = "as long as earlier runs took" if any(rule in earlier for rule in rules) else "a guess: no earlier run tells"
    return (
        f"{len(jobs)} jobs: {', '.join(f'{count} {rule}' for rule, count in rules.items())}\n"
        f"about {_duration(max(work / places, *seconds))} with {places} at once ({source})"
    )


def _earlier_seconds(runs: Path) -> dict:
    """Wall seconds of earlier jobs, by their benchmark file, by (model, rule) and by rule."""
    found = defaultdict(list)
    for path in runs.glob("*/*/seed*/logs/*.tsv"):
        lines = path.read_text(encoding="utf-8").splitlines()
        for key in (path, (path.parents[2], path.stem), path.stem) if len(lines) > 1 else ():
            found[key].append(float(lines[-1].split("\t")[0]))
    return found


def _expected_seconds(job: Job, earlier: dict) -> float:
    """What this job took before; else what the model took with other seeds; else what the rule took; else a guess."""
    keys = [job.rule]
    if job.benchmark:
        path = Path(job.benchmark)
        keys = [path, (path.parents[2], path.stem), job.rule]
    known = next((earlier[key] for key in keys if key in earlier), None)
    return statistics.median(known) if known else SECONDS.get(job.rule, SECONDS_OF_OTHERS)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
