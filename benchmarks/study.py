"""The default study: from a fresh copy to the report, and once more with nothing to do."""

import json
import re
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

# Processes that serve all jobs.
SHARED = {"Snakemake itself": "", "fork server": "fork_server", "sender to MLflow": "sender"}


def cost(copy: project.Project) -> Measurement:
    """The cost of the default study in a fresh copy: the share of the useful work, and where the overhead is spent."""
    run = copy.snakemake()
    work_by_rule = {rule: _work(copy, rule) for rule in WORK}
    n_jobs = run.n_jobs
    work = sum(work_by_rule.values())
    shared = {name: sum(run.processes.get(key, [])) for name, key in SHARED.items()}
    rows = {
        rule: (len(parts), sum(parts), work_by_rule.get(rule, 0.0))
        for rule, parts in run.processes.items()
        if rule not in SHARED.values()
    }
    if sum(number for number, _, _ in rows.values()) != n_jobs:
        raise RuntimeError(f"{n_jobs} jobs were planned, but these processes were measured: {rows}")
    # The kernel counts a whole process, and those that are no Python; a process counts itself only up to its last line.
    shared["shells and ends of processes"] = run.core_seconds - sum(shared.values()) - sum(total for _, total, _ in rows.values())

    lines = ["", f"{'overhead by rule':<32}{'jobs':>6}{'core-s':>10}{'a job':>9}"]
    for rule, (number, total, part) in sorted(rows.items(), key=lambda row: row[1][2] - row[1][1]):
        lines.append(f"{rule:<32}{number:>6}{total - part:>10.1f}{(total - part) / number:>9.2f}")
    for name, seconds in shared.items():
        lines.append(f"{name:<32}{'':>6}{seconds:>10.1f}{seconds / n_jobs:>9.2f}")
    results = [
        Result("elapsed", run.seconds / 60, "min", at_most=8),
        Result("error of the predicted time", 100 * abs(_predicted_seconds(run.output) / run.seconds - 1), "%", at_most=30),
        Result("CPU time of all processes", run.core_seconds, "core-s"),
        Result("jobs", n_jobs),
        Result("fitting", work_by_rule["train"], "core-s", at_most=330),
        Result("learning curves", work_by_rule["learn"], "core-s"),
        Result("sampling", work_by_rule["sample"], "core-s"),
        Result("judging", work_by_rule["evaluate"], "core-s", at_most=250),
        Result("outside of these", run.core_seconds - work, "core-s"),
        Result("overhead of a job", (run.core_seconds - work) / n_jobs, "core-s", at_most=0.5),
    ]
    raw = {"processes": run.processes, "work": work_by_rule, "shared": shared}
    return Measurement("The default study, from a fresh copy", results, lines, raw)


def noop(copy: project.Project, repeats: int = 3) -> Measurement:
    """The finished study once more. Raises RuntimeError where a job runs."""
    runs = [copy.snakemake() for _ in range(repeats)]
    if rules := {rule for run in runs for rule in run.processes if rule}:
        raise RuntimeError(f"the study is finished, but these rules ran: {', '.join(sorted(rules))}")
    seconds = [run.seconds for run in runs]
    result = Result(f"elapsed, median of {repeats}", statistics.median(seconds), "s", at_most=4)
    return Measurement("The same again, with nothing to do", [result], raw={"seconds": seconds})


def _predicted_seconds(output: str) -> float:
    """The time that the first lines of a run promise: "about 7 min with 2 at once"."""
    promise = re.search(r"^about ([\d.]+) (s|min|h) with", output, re.MULTILINE)
    if promise is None:
        raise RuntimeError("the run does not say how long it will take")
    return float(promise[1]) * {"s": 1, "min": 60, "h": 3600}[promise[2]]


def _work(copy: project.Project, rule: str) -> float:
    """Core-seconds of the useful work of all jobs of a rule."""
    costs = [json.loads(path.read_text()) for path in copy.folder.glob(f"results/runs/*/*/seed*/**/{rule}.json")]
    return sum(cost[WORK[rule]] - cost.get("reused_core_seconds", 0) for cost in costs)
