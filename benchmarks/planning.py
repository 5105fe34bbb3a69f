"""The plan of a large study: as many seeds of every model as make some 2,000 jobs."""

import json
import math
import statistics

from figure import Figure, ProbeResult

from pofxy.study import plan
from project import Project

JOBS = 2000


def measure(project: Project, repeats: int = 3) -> ProbeResult:
    """Seconds of `snakemake -n --quiet` where nothing has been done yet."""
    study = {"study": "planning", "results": "results/planning", "datasets": ["digits"], "models": "all"}
    chosen = [run for run in plan.runs(study | {"seeds": [0]}) if run.family in ("discriminative", "generative")]
    per_seed = sum(3 if "sample" in run.capabilities else 2 for run in chosen)  # train, evaluate and, where it can, sample
    config = project.folder / "planning.json"
    config.write_text(json.dumps(study | {"seeds": list(range(math.ceil(JOBS / per_seed)))}))

    arguments = ("--configfile", config.name, "-n", "--quiet")
    jobs = project.snakemake(*arguments, "rules", "host").planned  # --quiet alone says not how many
    runs = [project.snakemake(*arguments) for _ in range(repeats)]
    seconds = [run.seconds for run in runs]
    core_seconds = [run.core_seconds for run in runs]
    figures = [
        Figure("jobs", jobs),
        Figure(f"on the clock, median of {repeats}", statistics.median(seconds), "s", at_most=8),
        Figure("of all processes, median", statistics.median(core_seconds), "core-s"),
    ]
    return ProbeResult("The plan of a large study", figures, raw={"seconds": seconds, "core_seconds": core_seconds})
