"""What is sent to MLflow, and when. The results folder is the source of truth; MLflow is a view of it.

Jobs write events into an outbox, results/tracking/outbox: small JSON files, named by their time. Importing MLflow takes as long
as importing torch, so jobs do not send: the workflow starts one process that does (`pofxy.workflow.sender`).
Where there is none, on a cluster, a job that finds the last delivery older than DUE_SECONDS sends all waiting events
(`deliver_if_due`). The report's job has the rest sent. A tracking server that is down makes no job fail: its events stay in the
outbox, and the next run sends them. Events that a server refuses are moved to results/tracking/rejected.
"""

import fcntl
import importlib
import json
import logging
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pofxy.storage import files

# Seconds between two deliveries of a study while its jobs run.
DUE_SECONDS = 60
# Environment variable with the address of the process that sends for all jobs.
SENDER = "POFXY_SENDER"

logger = logging.getLogger("pofxy.tracking")

# Actions that this process has not written to the outbox yet, by (tracking folder, run key). All trackers of a run share them:
# when a job fails, `pofxy.workflow.job` makes a tracker of its own, which then writes the actions of the job's tracker too.
_actions: dict[tuple[Path, str], list[dict]] = {}


class Tracker:
    """Collects the actions of one job on one MLflow run, and writes them to the outbox.

    Args:
        results: the study's results folder.
        key: of the run: "{dataset}/{model}/seed{seed}", or "{dataset}" for the parent run of the study.
    """

    def __init__(self, results: Path | str, key: str):
        self.folder = Path(results) / "tracking"
        self.key = key
        self.last_flush = time.time()
        self.actions = _actions.setdefault((self.folder, key), [])

    def open(self, params: dict[str, object], tags: dict[str, object]) -> None:
        """Opens a new child run. An earlier run of the same key that never ended is ended as KILLED."""
        self._add("open", params=params, tags=tags, time=now())

    def metrics(self, values: dict[str, float | None], step: int = 0, at: float | None = None) -> None:
        """Logs numbers of one step. They are sent in batches; during a long training once a minute.

        Args:
            values: by name; None is left out.
            step: for example the epoch.
            at: time of the measurement in seconds since 1970, by default now. MLflow keeps one point of equal name, step, time
                and value, however often it is sent.
        """
        timestamp = now() if at is None else int(at * 1000)
        points = [[name, float(value), timestamp, step] for name, value in values.items() if value is not None]
        if self.actions and self.actions[-1]["action"] == "metrics":
            self.actions[-1]["points"] += points
        elif points:
            self._add("metrics", points=points)
        if time.time() - self.last_flush > DUE_SECONDS:
            self.flush()
            if SENDER not in os.environ:
                _deliver_in_background(self.folder.parent)

    def artifact(self, path: Path | str, folder: str = "") -> None:
        """Logs a file as an artifact in `folder` of the run; it is read when the event is sent."""
        self._add("artifact", path=str(Path(path).resolve()), folder=folder)

    def model(self, path: Path | str) -> None:
        """Logs the folder of a saved model as an MLflow model; it is read when the event is sent."""
        self._add("model", path=str(Path(path).resolve()))

    def finish(self, status: str = "FINISHED", reason: str = "") -> None:
        """Ends the run as FINISHED, FAILED or KILLED. A run that already has this status keeps its end time."""
        self._add("finish", status=status, reason=reason, time=now())

    def flush(self) -> None:
        """Writes the collected actions to the outbox as one event."""
        if self.actions:
            put(self.folder, f"{time.time_ns()}-{os.getpid()}.json", {"key": self.key, "actions": self.actions})
            self.actions.clear()
        self.last_flush = time.time()

    def _add(self, action: str, **arguments: object) -> None:
        self.actions.append({"action": action, **arguments})


def describe(config: dict, datasets: list[str], origin: dict) -> None:
    """Writes study.json, from which the parent runs are made.

    Args:
        config: of the study, with its defaults.
        datasets: names of its data sets; each gets an experiment and a parent run.
        origin: as `pofxy.workflow.provenance.provenance` gives it.
    """
    study = {
        "study": config["study"],
        "datasets": datasets,
        "params": {key: value for key, value in config.items() if key != "settings"},
        "tags": {"commit": origin["commit"], "config_hash": origin["config_hash"], "pofxy": "study"},
    }
    files.write_json(Path(config["results"]) / "tracking/study.json", study)


def deliver_if_due(results: Path | str) -> None:
    """Sends all waiting events if the last delivery is more than DUE_SECONDS ago, unless another process sends."""
    folder = Path(results) / "tracking"
    stamp = folder / "last_delivery"
    if SENDER in os.environ:
        return
    if not stamp.exists() or time.time() - stamp.stat().st_mtime > DUE_SECONDS:
        _log_failure(send(results, wait=False))


def deliver(results: Path | str) -> int:
    """Has all waiting events sent, by the sender where there is one. An error is a warning: it must not make a job fail.

    Args:
        results: the study's results folder.

    Returns:
        The number of events that are still waiting.
    """
    failure = _ask_sender()
    _log_failure(send(results) if failure is None else failure)
    return len(waiting(Path(results) / "tracking"))


def send(results: Path | str, wait: bool = True) -> str:
    """Sends all waiting events in their order, in this process.

    Args:
        results: the study's results folder.
        wait: where another process is sending now, whether to wait for it (True) or to return at once (False).

    Returns:
        "", or why not all of them could be sent.
    """
    folder = Path(results) / "tracking"
    failure = ""
    with _lock(folder, wait) as acquired:
        if acquired and (folder / "study.json").is_file():
            try:
                # Imported by name, so that it is in no job's fingerprint: how events are sent does not change a result. It also
                # imports MLflow.
                importlib.import_module("pofxy.tracking.delivery").deliver(folder)
            except Exception as error:
                cause = " ".join(f"{type(error).__name__}: {error}".split())[:300]
                kept = f"{len(waiting(folder))} events are kept in {folder / 'outbox'}, and the next run sends them"
                failure = f"MLflow at {without_credentials(uri(folder))} does not answer: {kept} ({cause})"
            (folder / "last_delivery").touch()
    return failure


def _ask_sender() -> str | None:
    """What `send` returned in the sender's process; None where there is none (any more)."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(os.environ[SENDER])
            return json.loads(connection.makefile().readline())
        except (KeyError, OSError, ValueError):
            return None


def _log_failure(failure: str) -> None:
    if failure:
        logger.warning("%s", failure)


def _deliver_in_background(results: Path) -> None:
    """`deliver_if_due` in a process of its own: MLflow's memory and time must not count as the model's."""
    code = "import sys; sys.path.insert(0, sys.argv[1]); from pofxy import tracking; tracking.deliver_if_due(sys.argv[2])"
    # The folder that holds this package: the other process must import this version, whichever is installed.
    package_parent = Path(__file__).resolve().parents[2]
    subprocess.Popen([sys.executable, "-c", code, package_parent, results], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def waiting(folder: Path) -> list[Path]:
    """The events of the outbox, in their order."""
    return sorted((folder / "outbox").glob("*.json"))


def put(folder: Path, name: str, event: dict) -> None:
    """Writes an event into the outbox by renaming a finished file: the outbox never holds a partly written event."""
    files.write_json(folder / "drafts" / name, event)
    (folder / "outbox").mkdir(exist_ok=True)
    os.replace(folder / "drafts" / name, folder / "outbox" / name)


def run_ids(results: Path | str) -> dict[str, str]:
    """MLflow run ids by run key, of the runs that the server in use has."""
    folder = Path(results) / "tracking"
    state = folder / "ids.json"
    if not state.is_file():
        return {}
    return files.read_json(state).get(without_credentials(uri(folder)), {}).get("runs", {})


def uri(folder: Path) -> str:
    """MLFLOW_TRACKING_URI, or an SQLite database in the results folder, with a timeout of 60 s for a locked database."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder.resolve().parent / 'mlflow.db'}?timeout=60"


def without_credentials(uri: str) -> str:
    """The address without user name and password, for files and logs."""
    return re.sub("//[^/@]*@", "//", uri)


def now() -> int:
    """The time as MLflow takes it: milliseconds since 1970."""
    return int(time.time() * 1000)


@contextmanager
def _lock(folder: Path, wait: bool) -> Iterator[bool]:
    """Holds the outbox's file lock; gives False where it is taken and `wait` is False."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True
