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
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from pofxy import tracking
from pofxy.storage import files

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
            self._open_parent(dataset)

    def send(self, path: Path) -> None:
        """Sends one event, an action at a time. What the server refuses goes to folder/rejected and holds up nothing."""
        try:
            event = files.read_json(path)
        except files.FileError as error:
            self._reject(path, {"key": path.name, "error": str(error)})
            path.unlink()
            return
        while event["actions"]:
            refusal = self._try(event["key"], event["actions"].pop(0))
            if refusal:
                self._reject(path, {"key": event["key"]} | refusal, len(event["actions"]))
            # A server that dies between two actions must not get the first one again.
            tracking.put(self.folder, path.name, event)
        path.unlink()

    def _try(self, key: str, action: dict) -> dict | None:
        """Does one action, or gives it back with the error. Raises where the server is gone."""
        arguments = {name: value for name, value in action.items() if name != "action"}
        for _ in range(2):  # the second time for a server that was away for a moment
            try:
                getattr(self, f"_{action['action']}")(key, **arguments)
                return None
            except Exception as error:  # whatever a server, a database or a file system may answer
                self.ask()
                refusal = {"error": " ".join(f"{type(error).__name__}: {error}".split()), "actions": [action]}
        return refusal

    def _reject(self, path: Path, event: dict, number: int = 0) -> None:
        place = self.folder / "rejected" / f"{path.stem}-{number}.json"
        files.write_json(place, event)
        what = " ".join(action["action"] for action in event.get("actions", []))
        logger.error("MLflow refused %s of %s, kept as %s: %s", what or "an event", event["key"], place, event["error"])

    def _open_parent(self, dataset: str) -> None:
        self.state["experiments"][dataset] = self._experiment(dataset)
        self._create(dataset, self.study["study"], self.study["tags"])
        self._log_params(self.state["runs"][dataset], self.study["params"])

    def _open(self, key: str, params: dict, tags: dict, time: int) -> None:
        dataset, model, seed = key.split("/")
        if dataset not in self.state["runs"]:  # added to the study since it was described
            self._open_parent(dataset)
        parent, name = self.state["runs"][dataset], f"{model} {seed}"
        self._end_running(dataset, f"attributes.run_name = '{name}' and tags.`mlflow.parentRunId` = '{parent}'")
        whose = {"dataset": dataset, "model": model, "seed": seed.removeprefix("seed"), "mlflow.parentRunId": parent}
        self._create(key, name, whose | tags, time)
        self._log_params(self.state["runs"][key], params)

    def _metrics(self, key: str, points: list) -> None:
        run_id = self._run(key)
        metrics = [Metric(_allowed(name), value, time, step) for name, value, time, step in points]
        for start in range(0, len(metrics), METRICS):
            self.client.log_batch(run_id, metrics=metrics[start : start + METRICS])

    def _artifact(self, key: str, path: str, folder: str) -> None:
        self.client.log_artifact(self._run(key), path, folder or None)

    def _model(self, key: str, path: str) -> None:
        from pofxy.tracking import packaging

        packaging.log_model(self.client, self._run(key), Path(path))

    def _finish(self, key: str, status: str, reason: str, time: int) -> None:
        run = self.client.get_run(self._run(key))
        if "/" not in key:  # the study is over, and a child that still runs was killed without a word
            self._end_running(key, f"tags.`mlflow.parentRunId` = '{run.info.run_id}'")
        if reason:
            self.client.set_tag(run.info.run_id, "reason", reason[:TAG])
        elif "reason" in run.data.tags:
            self.client.delete_tag(run.info.run_id, "reason")
        if run.info.status != status:
            self.client.set_terminated(run.info.run_id, status, end_time=time)

    def _run(self, key: str) -> str:
        """The run of a key; one made now where its train job spoke to another server."""
        if key not in self.state["runs"]:
            self._open(key, {}, {}, tracking.now())
        return self.state["runs"][key]

    def _create(self, key: str, name: str, tags: dict, time: int | None = None) -> None:
        tags = {_allowed(tag): str(value)[:TAG] for tag, value in tags.items()}
        run = self.client.create_run(self.state["experiments"][key.partition("/")[0]], time, tags, name)
        self.state["runs"][key] = run.info.run_id
        files.write_json(self.folder / "ids.json", self.states)

    def _log_params(self, run_id: str, params: dict) -> None:
        params = [Param(_allowed(name), str(value)[:VALUE]) for name, value in params.items()]
        for start in range(0, len(params), PARAMS):
            self.client.log_batch(run_id, params=params[start : start + PARAMS])

    def _end_running(self, dataset: str, which: str) -> None:
        experiment = self.state["experiments"][dataset]
        for run in self.client.search_runs([experiment], f"attributes.status = 'RUNNING' and {which}"):
            self.client.set_terminated(run.info.run_id, "KILLED")

    def _experiment(self, dataset: str) -> str:
        found = self.client.get_experiment_by_name(dataset)
        if found is None:
            # A server knows where its artifacts lie; beside a bare database they would land in ./mlruns.
            place = (
                None if self.uri.startswith(("http", "databricks")) else self.folder.resolve().parent / "mlartifacts" / dataset
            )
            return self.client.create_experiment(dataset, artifact_location=place and place.as_uri())
        if found.lifecycle_stage == "deleted":  # its name is taken all the same
            self.client.restore_experiment(found.experiment_id)
        return found.experiment_id

    def _is_there(self, run_id: str) -> bool:
        try:
            return self.client.get_run(run_id).info.lifecycle_stage == "active"
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False


def _allowed(name: str) -> str:
    """A name that MLflow takes."""
    return re.sub(r"[^/\w.\- :]", "_", name)[:NAME]
