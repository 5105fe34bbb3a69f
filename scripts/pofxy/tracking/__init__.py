"""What goes to MLflow, and when. results/ is the truth and MLflow a view of it.

Jobs write events into an outbox, results/tracking/outbox: small JSON files, named by the time. Importing MLflow costs as much
as importing torch, so not every job sends: one that finds the last delivery older than DUE_SECONDS sends all that waits
(`deliver_if_due`), and collecting the results sends the rest. A tracking server that is down costs no training: its events stay
in the outbox, and the next run sends them.
"""

import fcntl
import importlib
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pofxy import files

DUE_SECONDS = 20

logger = logging.getLogger("pofxy.tracking")


class Tracker:
    """Collects what one job has to say of one run, and writes it to the outbox.

    Args:
        results: the study's results folder.
        key: of the run, "{dataset}/{model}/seed{seed}", or "{dataset}" for the study's parent run.
    """

    def __init__(self, results: Path | str, key: str):
        self.folder, self.key, self.actions = Path(results) / "tracking", key, []

    def open(self, params: dict, tags: dict) -> None:
        """Opens a new child run; an earlier one of the same key that never ended is ended."""
        self._add("open", params=params, tags=tags)

    def metrics(self, values: dict[str, float], step: int = 0) -> None:
        """Numbers of one step; they go out in batches."""
        self._add("metrics", values=values, step=step, time=int(time.time() * 1000))

    def artifact(self, path: Path | str, folder: str = "") -> None:
        """A file of results/, copied when it is sent."""
        self._add("artifact", path=str(Path(path).resolve()), folder=folder)

    def model(self, path: Path | str) -> None:
        """A model folder of results/, as an MLflow model."""
        self._add("model", path=str(Path(path).resolve()))

    def finish(self, status: str = "FINISHED", reason: str = "") -> None:
        """Ends the run: FINISHED, FAILED or KILLED."""
        self._add("finish", status=status, reason=reason)

    def flush(self) -> None:
        """Writes what was collected to the outbox as one event."""
        if self.actions:
            event = {"key": self.key, "actions": self.actions}
            files.write_json(self.folder / "outbox" / f"{time.time_ns()}-{os.getpid()}.json", event)
            self.actions = []

    def _add(self, action: str, **arguments) -> None:
        self.actions.append({"action": action, **arguments})


def deliver_if_due(results: Path | str) -> None:
    """Sends what waits in the outbox if the last delivery is DUE_SECONDS ago, unless another job is sending already."""
    folder = Path(results) / "tracking"
    stamp = folder / "last_delivery"
    if not stamp.exists() or time.time() - stamp.stat().st_mtime > DUE_SECONDS:
        deliver(results, wait=False)


def deliver(results: Path | str, wait: bool = True) -> int:
    """Sends all that waits in the outbox, in its order.

    Args:
        results: the study's results folder.
        wait: for another job that is sending now; else return at once.

    Returns:
        The number of events that are still waiting: 0, or all from the first that the server did not take.
    """
    folder = Path(results) / "tracking"
    with _lock(folder, wait) as mine:
        if mine and (folder / "study.json").is_file():
            # By name, which the source closure does not see: how events are sent is no part of what a job computes.
            importlib.import_module("pofxy.tracking.delivery").deliver(folder)
            (folder / "last_delivery").touch()
    waiting = len(list((folder / "outbox").glob("*.json")))
    if waiting and mine:
        logger.warning("MLflow does not answer: %d events are kept in %s and sent by the next run", waiting, folder / "outbox")
    return waiting


def run_ids(results: Path | str) -> dict[str, str]:
    """MLflow run ids by run key, as far as the server in use has given any."""
    folder = Path(results) / "tracking"
    state = folder / "ids.json"
    return json.loads(state.read_text(encoding="utf-8")).get(uri(folder), {}).get("runs", {}) if state.is_file() else {}


def uri(folder: Path) -> str:
    """MLFLOW_TRACKING_URI, or an SQLite database beside the study's results that waits for its turn under load."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder.resolve().parent / 'mlflow.db'}?timeout=60"


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
