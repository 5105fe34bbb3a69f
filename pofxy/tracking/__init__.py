"""What goes to MLflow, and when. results/ is the truth and MLflow a view of it.

Jobs write events into an outbox, results/tracking/outbox: small JSON files, named by the time. Importing MLflow costs as much
as importing torch, so not every job sends: one that finds the last delivery older than DUE_SECONDS sends all that waits
(`deliver_if_due`), and collecting the results sends the rest. A tracking server that is down costs no training: its events stay
in the outbox, and the next run sends them. What a server refuses is put aside, in results/tracking/rejected.
"""

import fcntl
import importlib
import json
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pofxy.storage import files

DUE_SECONDS = 60

logger = logging.getLogger("pofxy.tracking")

# What this process has to say and has not written yet, by run. A job that fails says it, too: the frame around it has a tracker
# of its own.
_collected: dict[tuple[Path, str], list[dict]] = {}


class Tracker:
    """Collects what one job has to say of one run, and writes it to the outbox.

    Args:
        results: the study's results folder.
        key: of the run, "{dataset}/{model}/seed{seed}", or "{dataset}" for the study's parent run.
    """

    def __init__(self, results: Path | str, key: str):
        self.folder, self.key, self.flushed = Path(results) / "tracking", key, time.time()
        self.actions = _collected.setdefault((self.folder, key), [])

    def open(self, params: dict, tags: dict) -> None:
        """Opens a new child run; an earlier one of the same key that never ended is ended."""
        self._add("open", params=params, tags=tags, time=now())

    def metrics(self, values: dict[str, float | None], step: int = 0, at: float | None = None) -> None:
        """Numbers of one step; None is left out. They go out in batches, and those of a long training once a minute.

        The same number at the same time is one point, however often it is sent: `at` is that time in seconds, now by default.
        """
        when = now() if at is None else int(at * 1000)
        points = [[name, float(value), when, step] for name, value in values.items() if value is not None]
        if self.actions and self.actions[-1]["action"] == "metrics":
            self.actions[-1]["points"] += points
        elif points:
            self._add("metrics", points=points)
        if time.time() - self.flushed > DUE_SECONDS:
            self.flush()
            _deliver_aside(self.folder.parent)

    def artifact(self, path: Path | str, folder: str = "") -> None:
        """A file of results/, copied when it is sent."""
        self._add("artifact", path=str(Path(path).resolve()), folder=folder)

    def model(self, path: Path | str) -> None:
        """A model folder of results/, as an MLflow model."""
        self._add("model", path=str(Path(path).resolve()))

    def finish(self, status: str = "FINISHED", reason: str = "") -> None:
        """Ends the run: FINISHED, FAILED or KILLED. One that has ended so already keeps its time."""
        self._add("finish", status=status, reason=reason, time=now())

    def flush(self) -> None:
        """Writes what was collected to the outbox as one event."""
        if self.actions:
            put(self.folder, f"{time.time_ns()}-{os.getpid()}.json", {"key": self.key, "actions": self.actions})
            self.actions.clear()
        self.flushed = time.time()

    def _add(self, action: str, **arguments) -> None:
        self.actions.append({"action": action, **arguments})


def describe(config: dict, datasets: list[str], origin: dict) -> None:
    """Writes study.json, from which the parent runs are made: the study's name, its data sets, its config and its origin."""
    study = {
        "study": config["study"],
        "datasets": datasets,
        "params": {key: value for key, value in config.items() if key != "settings"},
        "tags": {"commit": origin["commit"], "config_hash": origin["config_hash"], "pofxy": "study"},
    }
    files.write_json(Path(config["results"]) / "tracking/study.json", study)


def deliver_if_due(results: Path | str) -> None:
    """Sends what waits in the outbox if the last delivery is DUE_SECONDS ago, unless another job is sending already."""
    folder = Path(results) / "tracking"
    stamp = folder / "last_delivery"
    if not stamp.exists() or time.time() - stamp.stat().st_mtime > DUE_SECONDS:
        deliver(results, wait=False)


def deliver(results: Path | str, wait: bool = True) -> int:
    """Sends all that waits in the outbox, in its order. Whatever goes wrong is a line in the log, and fails no job.

    Args:
        results: the study's results folder.
        wait: for another job that is sending now; else return at once.

    Returns:
        The number of events that are still waiting.
    """
    folder = Path(results) / "tracking"
    with _lock(folder, wait) as mine:
        if mine and (folder / "study.json").is_file():
            try:
                # By name, which the source closure does not see: how events are sent is no part of what a job computes.
                importlib.import_module("pofxy.tracking.delivery").deliver(folder)
            except Exception as error:
                cause = " ".join(f"{type(error).__name__}: {error}".split())[:300]
                kept = f"{len(waiting(folder))} events are kept in {folder / 'outbox'}, and the next run sends them"
                logger.warning("MLflow at %s does not answer: %s (%s)", public(uri(folder)), kept, cause)
            (folder / "last_delivery").touch()
    return len(waiting(folder))


def _deliver_aside(results: Path) -> None:
    # In a process of its own: MLflow's memory and seconds are not the model's.
    code = "import sys; sys.path.insert(0, sys.argv[1]); from pofxy import tracking; tracking.deliver_if_due(sys.argv[2])"
    scripts = Path(__file__).resolve().parents[2]
    subprocess.Popen([sys.executable, "-c", code, scripts, results], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def waiting(folder: Path) -> list[Path]:
    """The events of the outbox, in their order."""
    return sorted((folder / "outbox").glob("*.json"))


def put(folder: Path, name: str, event: dict) -> None:
    """Puts an event into the outbox, in which nothing is ever half written."""
    files.write_json(folder / "drafts" / name, event)
    (folder / "outbox").mkdir(exist_ok=True)
    os.replace(folder / "drafts" / name, folder / "outbox" / name)


def run_ids(results: Path | str) -> dict[str, str]:
    """MLflow run ids by run key, as far as the server in use has given any."""
    folder = Path(results) / "tracking"
    state = folder / "ids.json"
    return json.loads(state.read_text(encoding="utf-8")).get(public(uri(folder)), {}).get("runs", {}) if state.is_file() else {}


def uri(folder: Path) -> str:
    """MLFLOW_TRACKING_URI, or an SQLite database beside the study's results that waits for its turn under load."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder.resolve().parent / 'mlflow.db'}?timeout=60"


def public(uri: str) -> str:
    """The address without a user's name and password: for files and logs."""
    return re.sub("//[^/@]*@", "//", uri)


def now() -> int:
    """MLflow's clock: milliseconds since 1970."""
    return int(time.time() * 1000)


@contextmanager
def _lock(folder: Path, wait: bool) -> Iterator[bool]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True
