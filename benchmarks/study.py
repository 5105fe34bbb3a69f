"""The default study, from nothing to the report, and once more with nothing to do."""

import json
import statistics

from figure import Figure, ProbeResult

from project import Project

# What a job is for, as it notes it itself; the rest is overhead: start, imports, tracking, reading and writing.
WORK = {
    "train": "fit_core_seconds",
    "learn": "learn_core_seconds",
    "sample": "sample_core_seconds",
    "evaluate": "evaluate_core_seconds",
}


def cost(project: Project) -> ProbeResult:
    """The default study in a fresh copy: how much of it is fit, learn, sample and evaluate, and where the rest goes."""
    took = project.snakemake()
    inside = {rule: _inside(project, rule) for rule in WORK}
    jobs = took.planned
    work = sum(inside.values())
    rows = {rule: (len(parts), sum(parts), inside.get(rule, 0.0)) for rule, parts in took.processes.items() if rule}
    if sum(number for number, _, _ in rows.values()) != jobs:
        raise RuntimeError(f"{jobs} jobs were to run, and {rows} is known of")
    own = sum(took.processes[""])
    ends = took.core_seconds - own - sum(total for _, total, _ in rows.values())

    lines = ["", f"{'overhead by rule':<20}{'jobs':>6}{'core-s':>10}{'a job':>9}"]
    for rule, (number, total, part) in sorted(rows.items(), key=lambda row: row[1][2] - row[1][1]):
        lines.append(f"{rule:<20}{number:>6}{total - part:>10.1f}{(total - part) / number:>9.2f}")
    # The kernel counts all of a process, and a process itself only what comes before its last line.
    for name, seconds in {"Snakemake itself": own, "ends of processes": ends}.items():
        lines.append(f"{name:<20}{'':>6}{seconds:>10.1f}{seconds / jobs:>9.2f}")
    figures = [
        Figure("on the clock", took.seconds, "s"),
        Figure("of all processes", took.core_seconds, "core-s"),
        Figure("in fit, learn, sample and evaluate", work, "core-s"),
        Figure("outside them", 100 * (1 - work / took.core_seconds), "%"),
        Figure("jobs", jobs),
        Figure("overhead of a job", (took.core_seconds - work) / jobs, "core-s", at_most=2.5),
        Figure("all evaluate jobs, start to end", sum(took.processes["evaluate"]), "core-s", at_most=150),
    ]
    raw = {"processes": took.processes, "inside": inside, "ends_of_processes": ends}
    return ProbeResult("The default study, from a fresh copy", figures, lines, raw)


def noop(project: Project, repeats: int = 3) -> ProbeResult:
    """The finished study once more. Raises RuntimeError where a job runs."""
    runs = [project.snakemake() for _ in range(repeats)]
    if ran := {rule for run in runs for rule in run.processes if rule}:
        raise RuntimeError(f"nothing was to do, and these ran: {', '.join(sorted(ran))}")
    seconds = [run.seconds for run in runs]
    figure = Figure(f"on the clock, median of {repeats}", statistics.median(seconds), "s", at_most=4)
    return ProbeResult("The same again, with nothing to do", [figure], raw={"seconds": seconds})


def _inside(project: Project, rule: str) -> float:
    notes = project.folder.glob(f"results/runs/*/*/seed*/**/{rule}.json")
    return sum(json.loads(path.read_text())[WORK[rule]] for path in notes)
