"""Copies the project into a folder of its own, and measures what a run of Snakemake in it costs."""

import contextlib
import ctypes
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Every benchmark imports this module before pofxy: it must measure the package of this checkout, whichever version is installed.
sys.path.insert(0, str(ROOT))

# The outputs of studies, and what a study does not need.
NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "results", "downloads", "tests")
# Of Linux's prctl.
PR_SET_CHILD_SUBREAPER = 36
# Environment variables that would send results elsewhere or run jobs on a cluster.
NOT_INHERITED = re.compile(r"(MLFLOW|SLURM|SNAKEMAKE)_.*")


@dataclass(frozen=True)
class Cost:
    """What one run of Snakemake cost.

    Attributes:
        seconds: elapsed time.
        core_seconds: CPU time of Snakemake and all its descendants, as the kernel counts it.
        processes: CPU time of each Python process up to its last line, by rule; that of a job is a script and its fork. "" is
            Snakemake itself, "fork_server" and "sender" are the processes that serve the jobs.
        output: what Snakemake printed.
    """

    seconds: float
    core_seconds: float
    processes: dict[str, list[float]]
    output: str

    @property
    def n_jobs(self) -> int:
        """Number of jobs in Snakemake's job table, without the target `all`, which does nothing."""
        counts = dict(re.findall(r"^(\w+) +(\d+)$", self.output, re.MULTILINE))
        return int(counts["total"]) - int(counts.get("all", 0))


@dataclass(frozen=True)
class Project:
    """A copy of the project in `folder`."""

    folder: Path

    @classmethod
    def copy(cls, folder: Path) -> "Project":
        """Copies the current files of this checkout to `folder`, which must not exist."""
        shutil.copytree(ROOT, folder, ignore=NOT_COPIED)
        return cls(folder)

    def snakemake(self, *arguments: str) -> Cost:
        """Runs Snakemake on all cores.

        Args:
            arguments: further arguments of its command line.

        Raises:
            RuntimeError: where it fails, with its last lines.
        """
        clock = self.folder / "clock"
        shutil.rmtree(clock, ignore_errors=True)
        clock.mkdir()
        # The package of this copy comes before an installed one. With benchmarks/clock, each Python process writes down its CPU
        # time.
        path = os.pathsep.join(map(str, (self.folder, self.folder / "benchmarks/clock")))
        inherited = {name: value for name, value in os.environ.items() if not NOT_INHERITED.fullmatch(name)}
        # Descendants that outlive Snakemake for a moment become children of this process, which then waits for them: their time
        # counts.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.perf_counter()
        process = subprocess.run(
            [sys.executable, "-m", "snakemake", "--cores", "all", *arguments],
            cwd=self.folder,
            env=inherited | {"PYTHONPATH": path, "POFXY_CLOCK": str(clock)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        seconds = time.perf_counter() - started
        with contextlib.suppress(ChildProcessError):
            while True:
                os.wait()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if process.returncode:
            raise RuntimeError("snakemake failed:\n" + "\n".join(process.stdout.splitlines()[-15:]))
        core_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Cost(seconds, core_seconds, _processes(clock), process.stdout)


def _processes(clock: Path) -> dict[str, list[float]]:
    """CPU time of the Python processes by rule, one number a job, from the files that benchmarks/clock wrote."""
    seconds_by_program = defaultdict(float)
    for path in clock.iterdir():
        seconds, _, program = path.read_text().partition(" ")
        seconds_by_program[program] += float(seconds)
    seconds_by_rule = defaultdict(list)
    for program, seconds in seconds_by_program.items():
        # Snakemake's copy of a script: tmp1a2b3c.train.py
        named = re.search(r"(?:\.snakemake/scripts/\w+\.|pofxy/workflow/)(\w+)\.py$", program)
        seconds_by_rule[named[1] if named else ""].append(seconds)
    return dict(seconds_by_rule)
