"""Takes events from the outbox to MLflow. Runs under the outbox's lock, so there is one sender at a time.

One experiment per data set; in it one parent run per study and one child per (model, seed). The first delivery makes the
database and the experiments; nothing else opens them, which settles the races of two processes that would.
"""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from pofxy import files, tracking

# The most that MLflow takes: of metrics and of parameters at once, of characters in a name, a parameter's value and a tag's.
METRICS, PARAMS, NAME, VALUE, TAG = 1000, 100, 250, 6000, 8000

logger = logging.getLogger("pofxy.tracking")
logging.getLogger("mlflow").setLevel(logging.WARNING)
logging.getLogger("alembic").setLevel(logging.WARNING)
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # tells of each retry


def deliver(folder: Path) -> None:
    """Sends the events of folder/outbox in their order and removes each.

    Raises whatever the server, its database or the network may, where MLflow does not answer: what was not sent is still there.
    """
    sender = _Sender(folder)
    # A server that is down is found out in a tenth of a second, and after four minutes with MLflow's own defaults.
    with _patience(seconds=5):
        sender.ask()
    with _patience(seconds=60):
        sender.open_parents()
        for path in tracking.waiting(folder):
            sender.send(path)


@contextmanager
def _patience(seconds: int) -> Iterator[None]:
    """How long MLflow waits for an answer and how often it asks again, unless the user's environment says so."""
    values = {"MLFLOW_HTTP_REQUEST_TIMEOUT": str(seconds), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
    ours = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            del os.environ[name]


class _Sender:
    """Knows which run of the server belongs to which key; ids.json remembers it, by server."""

    def __init__(self, folder: Path):
        self.folder, self.uri = folder, tracking.uri(folder)
        self.client = MlflowClient(self.uri)
        self.study = files.read_json(folder / "study.json")
        self.states = files.read_json(folder / "ids.json") if (folder / "ids.json").is_file() else {}
        self.state = self.states.setdefault(tracking.public(self.uri), {"experiments": {}, "runs": {}})

    def ask(self) -> None:
        """Raises where MLflow does not answer."""
        self.client.search_experiments(max_results=1)

    def open_parents(self) -> None:
        """The experiment and the parent run of each data set of the study, where the server has none, or no longer."""
        runs = self.state["runs"]
        for dataset in self.study["datasets"]:
            if dataset in runs and self._is_there(runs[dataset]):
                continue
            if dataset in runs:
                logger.warning("%s has lost the runs of %s: new ones are opened", tracking.public(self.uri), dataset)
            for key in [key for key in runs if key.partition("/")[0] == dataset]:
                del runs[key]
            self.state["experiments"][dataset] = self._experiment(dataset)
            self._create(dataset, self.study["study"], self.study["tags"])
            self._log_params(runs[dataset], self.study["params"])

    def send(self, path: Path) -> None:
        """Sends one event. What the server refuses goes to folder/rejected: it must not hold up the rest for ever."""
        try:
            event = files.read_json(path)
        except files.FileError as error:
            self._reject(path, path.name, {"error": str(error)})
            path.unlink()
            return
        while event["actions"]:
            try:
                self._try_twice(event["key"], event["actions"][0])
            except _Refused as error:
                self._reject(path, event["key"], event | {"actions": event["actions"][:1], "error": str(error)}, len(event["actions"]))
            # What was sent is gone from the event before the next is: a server that dies between gets nothing twice.
            del event["actions"][0]
            files.write_json(self.folder / "sending.json", event)
            os.replace(self.folder / "sending.json", path)
        path.unlink()

    def _try_twice(self, key: str, action: dict) -> None:
        arguments = {name: value for name, value in action.items() if name != "action"}
        for attempt in (1, 2):
            try:
                return getattr(self, f"_{action['action']}")(key, **arguments)
            except Exception as error:  # whatever a server, a database or a file system may answer
                self.ask()
                if attempt == 2:
                    raise _Refused(" ".join(f"{type(error).__name__}: {error}".split())) from error
