"""Planning large studies: with enough seeds of every model for some 2,000 and some 10,000 jobs."""

import json
import math
import statistics

from measurement import Measurement, Result

import project
from pofxy.study import plan

# The number of jobs, and the seconds that planning them may take.
GOALS = {2000: 5, 10_000: 30}


def measure(copy: project.Project, repeats: int = 3) -> Measurement:
    """Seconds of `snakemake -n --quiet` where no job has run yet."""
    study = {"study": "planning", "results": "results/planning", "datasets": ["digits"], "models": "all"}
    chosen = [run for run in plan.runs(study | {"seeds": [0]}) if run.family in ("discriminative", "generative")]
    jobs_per_seed = sum(3 if "sample" in run.capabilities else 2 for run in chosen)  # train, evaluate and perhaps sample
    results = []
    raw = {}
    for jobs, goal in GOALS.items():
        config = copy.folder / f"planning_{jobs}.json"
        config.write_text(json.dumps(study | {"seeds": list(range(math.ceil(jobs / jobs_per_seed)))}))
        arguments = ("--configfile", config.name, "-n", "--quiet")
        n_jobs = copy.snakemake(*arguments, "rules", "host").n_jobs  # --quiet alone prints no job table
        runs = [copy.snakemake(*arguments) for _ in range(repeats)]
        seconds = [run.seconds for run in runs]
        core_seconds = [run.core_seconds for run in runs]
        results += [
            Result("jobs", n_jobs),
            Result(f"elapsed, median of {repeats}", statistics.median(seconds), "s", at_most=goal),
            Result("CPU time of all processes, median", statistics.median(core_seconds), "core-s"),
        ]
        raw[jobs] = {"seconds": seconds, "core_seconds": core_seconds}
    return Measurement("Planning large studies", results, raw=raw)
