"""A fresh copy of the project in a folder of its own, and what a run of Snakemake in it takes."""

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
sys.path.insert(0, str(ROOT / "scripts"))  # this checkout's package, whichever one is installed

# What a study leaves behind, and what it does not need.
LEFT = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "results", "downloads", "tests")
# Variables that would lead a run elsewhere.
STRANGE = re.compile(r"(MLFLOW|SLURM|SNAKEMAKE)_.*")


@dataclass(frozen=True)
class Took:
    """What one run of Snakemake took.

    Attributes:
        seconds: on the clock.
        core_seconds: of Snakemake and all its descendants, as the kernel counts them.
        processes: core-seconds of each Python process up to its last line, by rule; "" is Snakemake itself.
        output: what it said.
    """

    seconds: float
    core_seconds: float
    processes: dict[str, list[float]]
    output: str

    @property
    def planned(self) -> int:
        """Jobs in Snakemake's table of them, without the target `all`, which does nothing."""
        counts = dict(re.findall(r"^(\w+) +(\d+)$", self.output, re.MULTILINE))
        return int(counts["total"]) - int(counts.get("all", 0))


@dataclass(frozen=True)
class Project:
    """A copy of the project."""

    folder: Path

    @classmethod
    def copy(cls, folder: Path) -> "Project":
        """Of what is in this checkout now."""
        shutil.copytree(ROOT, folder, ignore=LEFT)
        return cls(folder)

    def snakemake(self, *arguments: str) -> Took:
        """Runs Snakemake on all cores. Raises RuntimeError, with its last lines, where it fails."""
        clock = self.folder / "clock"
        shutil.rmtree(clock, ignore_errors=True)
        clock.mkdir()
        # The package of this copy comes before an installed one; clock/ notes what each process took.
        path = os.pathsep.join(map(str, (self.folder / "scripts", self.folder / "benchmarks/clock")))
        kept = {name: value for name, value in os.environ.items() if not STRANGE.fullmatch(name)}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.perf_counter()
        process = subprocess.run(
            [sys.executable, "-m", "snakemake", "--cores", "all", *arguments],
            cwd=self.folder,
            env=kept | {"PYTHONPATH": path, "POFXY_CLOCK": str(clock)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        seconds = time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if process.returncode:
            raise RuntimeError("snakemake failed:\n" + "\n".join(process.stdout.splitlines()[-15:]))
        core_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Took(seconds, core_seconds, _processes(clock), process.stdout)


def _processes(clock: Path) -> dict[str, list[float]]:
    found = defaultdict(list)
    for path in clock.iterdir():
        seconds, _, program = path.read_text().partition(" ")
        script = re.search(r"\.snakemake/scripts/\w+\.(\w+)\.py$", program)  # Snakemake's copy: tmp1a2b3c.train.py
        found[script[1] if script else ""].append(float(seconds))
    return dict(found)
