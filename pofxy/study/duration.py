"""How long a study will take, how much memory and disk it needs, and how that changes while it runs. Standard library only.

Each job's time is, the first of these that is known:

    1. what the same job took on this machine before
    2. what the same model took there with other seeds
    3. (start + work * growth * steps or rows) * speed * correction

`start` and `work` are those of the default study (costs.py), `growth` scales with the numbers in a row, `speed` compares a short
calibration on both machines, and `correction` is what earlier jobs here took, divided by what was expected of them.
"""

import heapq
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pofxy.study import catalog, costs
from pofxy.study.run import Run
from pofxy.study.sizes import Size

# Earlier jobs that a correction needs at least.
ENOUGH = 3
# A size that differs from that of the figures by more than this factor makes a rough estimate.
SIMILAR = 2
# Seconds between two looks at what is done, and how many lines a study gets while it runs.
SECONDS_BETWEEN_LOOKS = 5
LINES = 10


@dataclass(frozen=True)
class Job:
    """One job that is to run.

    Attributes:
        rule: its rule.
        threads: its threads.
        cost_file: where it writes what it cost, beside its log; None: nowhere.
        run: that it belongs to; None for a job of a data set or the whole study.
        work: of a model that is trained in steps, its steps times its batch size.
    """

    rule: str
    threads: int = 1
    cost_file: str | None = None
    run: Run | None = None
    work: float = 0


@dataclass(frozen=True)
class Expected:
    """What one job is expected to take: seconds, megabytes of memory and of disk, and where that is from ("" for a guess)."""

    seconds: float
    memory: float = 0.0
    disk: float = 0.0
    source: str = ""


@dataclass
class Estimator:
    """What jobs are expected to take.

    Attributes:
        runs: the folder of the study's runs, where earlier jobs left how long they took.
        sizes: of the study's data sets; None for one that is not known yet.
        figures: as `costs.shipped` returns them.
        growth: as `costs.growth` returns it.
        speed: `costs.machine_speed` of this machine.
        known_jobs: all jobs of the study, also those that have run: by these, earlier times are compared with expectations.
    """

    runs: Path
    sizes: dict[str, Size | None] = field(default_factory=dict)
    figures: dict = field(default_factory=dict)
    growth: dict = field(default_factory=dict)
    speed: float = 0.0
    known_jobs: list[Job] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def __post_init__(self):
        self.earlier = costs.times(self.runs)
        self.by_model: dict[tuple, list[tuple[float, float]]] = defaultdict(list)
        for path, took in self.earlier.items():
            self.by_model[path.parents[2], path.stem].append(took)

    @property
    def relative_speed(self) -> float:
        """Time that this machine takes, relative to the one of the figures."""
        return self.speed / self.figures["speed"] if self.speed and self.figures.get("speed") else 1.0

    @cached_property
    def between(self) -> float:
        """Core-seconds that pass outside of jobs, per job."""
        return self.figures.get("between", 0.0) * self.relative_speed

    def expect(self, job: Job) -> Expected:
        """What one job is expected to take."""
        shipped = self.scaled(job)
        if job.cost_file and not job.run:  # a job of a data set or of the whole study
            took = costs.time_of(Path(job.cost_file))
            return Expected(took[0], took[1], 0.0, "earlier") if took else shipped
        if job.cost_file and job.run:
            path = Path(job.cost_file)
            known = [self.earlier[path]] if path in self.earlier else self.by_model.get((path.parents[2], path.stem), [])
            if known:
                memory = max((memory for _, memory in known if memory == memory), default=shipped.memory)
                return Expected(statistics.median(seconds for seconds, _ in known), memory, shipped.disk, "earlier")
        factor = self.correction(job)
        source = "corrected" if factor != 1 else shipped.source
        return Expected(shipped.seconds * factor, shipped.memory, shipped.disk, source)

    def correction(self, job: Job) -> float:
        """What earlier jobs here took, divided by what was expected: of the rule and data set, else of the rule, else of all."""
        for key in ((job.rule, job.run.dataset if job.run else ""), (job.rule,), ()):
            count, took, expected = self._ratios.get(key, (0, 0.0, 0.0))
            if count >= ENOUGH and expected > 0:
                return took / expected
        return 1.0

    @cached_property
    def _ratios(self) -> dict[tuple, tuple[int, float, float]]:
        """By (rule, data set), (rule,) and (): how many earlier jobs, what they took, and what was expected of them."""
        ratios: dict[tuple, tuple[int, float, float]] = defaultdict(lambda: (0, 0.0, 0.0))
        for job in self.known_jobs:
            took = self.earlier.get(Path(job.cost_file)) if job.cost_file and job.run else None
            if took and job.run:
                expected = self.scaled(job).seconds
                for key in ((job.rule, job.run.dataset), (job.rule,), ()):
                    count, seconds, sum_expected = ratios[key]
                    ratios[key] = (count + 1, seconds + took[0], sum_expected + expected)
        return dict(ratios)

    def scaled(self, job: Job) -> Expected:
        """The figures of the default study, scaled to this job's size, steps and machine."""
        start = self.figures.get("start", {}).get(job.rule)
        if job.run is None or start is None:
            return Expected(costs.SECONDS_OF_OTHERS * self.relative_speed)
        size = self.sizes.get(job.run.dataset)
        reference = self._reference(job.run, size)
        known = self._figure(job, reference)
        base = Size(**self.figures["sizes"][reference])
        size = size or base
        factor = self._growth(job, size, base) * self._repeats(job, size, base, known)
        seconds = (start + max(known["seconds"] - start, 0) * factor) * self.relative_speed
        numbers = size.numbers / base.numbers
        data = 12e-6 * (size.rows * size.numbers - base.rows * base.numbers)  # three float32 copies of the train split, in MB
        # Batches bound what grows with an image: the square root lies between what stays and what grows in proportion.
        memory = known["memory"] + max(data, 0) + max(known["memory"] - self._least_memory, 0) * max(numbers**0.5 - 1, 0)
        disk = 0.0
        if job.rule == "train":
            folders = self.figures["disk"][reference]
            disk = folders.get(job.run.of, statistics.median(folders.values())) * numbers * size.test_rows / base.test_rows
        return Expected(seconds, memory, disk, "shipped")

    def _reference(self, run: Run, size: Size | None) -> str:
        """The data set of the figures that is most like a run's: the same kind, with figures of the model."""
        jobs = self.figures["jobs"]
        table = bool(size and size.table)
        return min(jobs, key=lambda name: (self.figures["sizes"][name]["table"] != table, run.of not in jobs[name]))

    def _figure(self, job: Job, reference: str) -> dict:
        """The figures of a job's model; where there are none, the median of its family's models, and a remark says so."""
        assert job.run is not None
        jobs = self.figures["jobs"][reference]
        if job.rule in jobs.get(job.run.of, {}):
            return jobs[job.run.of][job.rule]
        known = catalog.models()
        alike = [
            rules[job.rule]
            for model, rules in jobs.items()
            if job.rule in rules and model in known and known[model].family == job.run.family
        ] or [rules[job.rule] for rules in jobs.values() if job.rule in rules]
        self._remark(f"no figures of {job.run.of}: as other {job.run.family} models")
        return {key: statistics.median(figure.get(key, 0) for figure in alike) for key in ("seconds", "memory")}

    def _growth(self, job: Job, size: Size, base: Size) -> float:
        """By how much the work grows with the numbers in a row."""
        assert job.run is not None
        part = "fit" if job.rule in ("train", "learn") else "evaluate"
        typical = statistics.median(each[part] for each in self.growth.values() if part in each) if self.growth else 1.0
        return (size.numbers / base.numbers) ** self.growth.get(job.run.of, {}).get(part, typical)

    def _repeats(self, job: Job, size: Size, base: Size, known: dict) -> float:
        """By how much the work grows with the steps of training, or with the rows. Learning curves have fixed sizes."""
        if job.rule == "train":
            return job.work / known["work"] if job.work and known.get("work") else size.rows / base.rows
        return 1.0 if job.rule == "learn" else size.test_rows / base.test_rows

    @cached_property
    def _least_memory(self) -> float:
        return min(
            figure["memory"] for jobs in self.figures["jobs"].values() for rules in jobs.values() for figure in rules.values()
        )

    def _remark(self, text: str) -> None:
        if text not in self.remarks:
            self.remarks.append(text)

    def remarks_on_sizes(self, jobs: Iterable[Job]) -> list[str]:
        """What makes the estimate rough: data sets that are not known yet, or of another size than those of the figures."""
        remarks = []
        for dataset, run in {job.run.dataset: job.run for job in jobs if job.run}.items():
            size = self.sizes.get(dataset)
            if not self.figures:
                continue
            reference = self._reference(run, size)
            base = Size(**self.figures["sizes"][reference])
            if size is None:
                remarks.append(f"the size of {dataset} is not known before it is downloaded: as {reference}")
            elif max(size.numbers / base.numbers, size.rows / base.rows, size.test_rows / base.test_rows) > SIMILAR:
                remarks.append(f"{dataset} is scaled from {reference}, which is rough until its first jobs are done")
        return remarks


def remaining(jobs: list[Job], places: int, expected: list[Expected], between: float) -> float:
    """Seconds until all jobs are done: their work shared among the places, and no less than the longest run after another."""
    work = sum(part.seconds * min(job.threads, places) for job, part in zip(jobs, expected))
    chains: dict[object, float] = defaultdict(float)
    for job, part in zip(jobs, expected):
        # After the training, the learning curve does not wait for the evaluation.
        chains[job.run.key if job.run and job.rule != "learn" else job] += part.seconds
    return max((work + between * len(jobs)) / places, *chains.values(), 0)


def describe(jobs: list[Job], places: int, estimator: Estimator) -> str:
    """Lines for the terminal: how many jobs of which rule, about how long they will take, and what that is based on.

    Args:
        jobs: what is to run, in the order in which the rules are to be named.
        places: cores of this machine, or jobs at once on a cluster.
        estimator: what each is expected to take.
    """
    rules = Counter(job.rule for job in jobs)
    expected = [estimator.expect(job) for job in jobs]
    seconds = remaining(jobs, places, expected, estimator.between)
    memory = sum(heapq.nlargest(places, (part.memory for part in expected)))
    disk = sum(part.disk for part in expected)
    needs = [f"{_bytes(memory)} of memory"] * bool(memory) + [f"{_bytes(disk)} of disk"] * bool(disk)
    lines = [
        f"{len(jobs)} jobs: {', '.join(f'{count} {rule}' for rule, count in rules.items())}",
        f"about {', '.join([f'{_duration(seconds)} with {places} at once', *needs])} ({_source(expected, estimator)})",
        *(f"  {remark}" for remark in [*estimator.remarks, *estimator.remarks_on_sizes(jobs)]),
    ]
    return "\n".join(lines)


def _source(expected: list[Expected], estimator: Estimator) -> str:
    sources = {part.source for part in expected}
    if sources & {"earlier", "corrected"}:
        return "as long as earlier runs took"
    if "shipped" not in sources:
        return "a guess: nothing is known of such jobs"
    return f"from the default study on another machine; this one takes {estimator.relative_speed:.2g} times as long"


def follow(jobs: list[Job], places: int, estimate: Callable[[], Estimator], say: Callable[[str], None]) -> None:
    """Says how long the rest takes, each time that a further tenth of the work is done; returns when all is done.

    Args:
        jobs: that are to run.
        places: cores of this machine, or jobs at once on a cluster.
        estimate: returns an estimator that knows the jobs that are done by now.
        say: gets the lines.
    """
    started = time.time()
    first = estimate()
    expected = {job: first.expect(job).seconds for job in jobs if job.cost_file}
    waiting = list(expected)
    said = 0
    while waiting:
        time.sleep(SECONDS_BETWEEN_LOOKS)
        waiting = [job for job in waiting if not _ended_since(job, started)]
        share = 1 - sum(expected[job] for job in waiting) / (sum(expected.values()) or 1)
        if waiting and int(share * LINES) > said:
            said = int(share * LINES)
            now = estimate()
            left = [job for job in jobs if job in set(waiting) or not job.cost_file]
            seconds = remaining(left, places, [now.expect(job) for job in left], now.between)
            done = len(expected) - len(waiting)
            say(f"pofxy: {done} of {len(expected)} jobs in {_duration(time.time() - started)}; about {_duration(seconds)} to go")


def _ended_since(job: Job, started: float) -> bool:
    """Whether a job wrote what it cost after the study was started."""
    try:
        return Path(job.cost_file or "").stat().st_mtime >= started
    except OSError:
        return False


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _bytes(megabytes: float) -> str:
    return f"{megabytes:.0f} MB" if megabytes < 1000 else f"{megabytes / 1000:.1f} GB"
