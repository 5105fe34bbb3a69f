"""The default study: from a fresh copy to the report, and once more with nothing to do."""

import json
import statistics

from measurement import Measurement, Result

import project

# The useful work of a job, as its JSON file states it. The rest is overhead: start, imports, tracking, reading and writing.
WORK = {
    "train": "fit_core_seconds",
    "learn": "learn_core_seconds",
    "sample": "sample_core_seconds",
    "evaluate": "evaluate_core_seconds",
}


def cost(copy: project.Project) -> Measurement:
    """The cost of the default study in a fresh copy: the share of the useful work, and where the overhead is spent."""
    run = copy.snakemake()
    work_by_rule = {rule: _work(copy, rule) for rule in WORK}
    n_jobs = run.n_jobs
    work = sum(work_by_rule.values())
    rows = {rule: (len(parts), sum(parts), work_by_rule.get(rule, 0.0)) for rule, parts in run.processes.items() if rule}
    if sum(number for number, _, _ in rows.values()) != n_jobs:
        raise RuntimeError(f"{n_jobs} jobs were planned, but these processes were measured: {rows}")
    snakemake_itself = sum(run.processes[""])
    ends = run.core_seconds - snakemake_itself - sum(total for _, total, _ in rows.values())

    lines = ["", f"{'overhead by rule':<20}{'jobs':>6}{'core-s':>10}{'a job':>9}"]
    for rule, (number, total, part) in sorted(rows.items(), key=lambda row: row[1][2] - row[1][1]):
        lines.append(f"{rule:<20}{number:>6}{total - part:>10.1f}{(total - part) / number:>9.2f}")
    # The kernel counts a whole process; the process itself counts only up to its last line.
    for name, seconds in {"Snakemake itself": snakemake_itself, "ends of processes": ends}.items():
        lines.append(f"{name:<20}{'':>6}{seconds:>10.1f}{seconds / n_jobs:>9.2f}")
    results = [
        Result("elapsed", run.seconds, "s"),
        Result("CPU time of all processes", run.core_seconds, "core-s"),
        Result("in fit, learn, sample and evaluate", work, "core-s"),
        Result("outside them", 100 * (1 - work / run.core_seconds), "%"),
        Result("jobs", n_jobs),
        Result("overhead of a job", (run.core_seconds - work) / n_jobs, "core-s", at_most=2.5),
        Result("all evaluate jobs, start to end", sum(run.processes["evaluate"]), "core-s", at_most=150),
    ]
    raw = {"processes": run.processes, "work": work_by_rule, "ends_of_processes": ends}
    return Measurement("The default study, from a fresh copy", results, lines, raw)


def noop(copy: project.Project, repeats: int = 3) -> Measurement:
    """The finished study once more. Raises RuntimeError where a job runs."""
    runs = [copy.snakemake() for _ in range(repeats)]
    if rules := {rule for run in runs for rule in run.processes if rule}:
        raise RuntimeError(f"the study is finished, but these rules ran: {', '.join(sorted(rules))}")
    seconds = [run.seconds for run in runs]
    result = Result(f"elapsed, median of {repeats}", statistics.median(seconds), "s", at_most=4)
    return Measurement("The same again, with nothing to do", [result], raw={"seconds": seconds})


def _work(copy: project.Project, rule: str) -> float:
    """Core-seconds of the useful work of all jobs of a rule."""
    paths = copy.folder.glob(f"results/runs/*/*/seed*/**/{rule}.json")
    return sum(json.loads(path.read_text())[WORK[rule]] for path in paths)
