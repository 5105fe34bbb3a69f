"""Sends events from the outbox to MLflow. It runs under the outbox's lock, so there is one sender at a time.

Each data set has one experiment; it holds one parent run per study and one child run per (model, seed). Only a delivery creates
the database and the experiments, so two processes never create them at the same time.
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

# MLflow's limits: metrics and parameters in one request; characters in a name, in a parameter's value and in a tag's value.
MAX_METRICS = 1000
MAX_PARAMS = 100
MAX_NAME = 250
MAX_PARAM_VALUE = 6000
MAX_TAG_VALUE = 8000

logger = logging.getLogger("pofxy.tracking")
logging.getLogger("mlflow").setLevel(logging.WARNING)
logging.getLogger("alembic").setLevel(logging.WARNING)
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # it logs every retry


def deliver(folder: Path) -> None:
    """Sends the events of folder/outbox in their order, and removes each one that was sent.

    Args:
        folder: results/tracking of the study.

    Raises:
        Exception: of any type that the server, its database or the network raises, where MLflow does not answer. Events that were
            not sent are still in the outbox.
    """
    sender = _Sender(folder)
    # With these limits a server that is down is detected in 0.1 s; with MLflow's defaults it takes four minutes.
    with _request_timeout(seconds=5):
        sender.check_connection()
    with _request_timeout(seconds=60):
        sender.open_parents()
        for path in tracking.waiting(folder):
            sender.send(path)


@contextmanager
def _request_timeout(seconds: int) -> Iterator[None]:
    """Sets MLflow's timeout of a request, and one retry. Values that the user's environment sets stay."""
    defaults = {"MLFLOW_HTTP_REQUEST_TIMEOUT": str(seconds), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
    added = {name: value for name, value in defaults.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


class _Sender:
    """Maps run keys to the server's run ids, which it keeps in ids.json, by server.

    Args:
        folder: results/tracking of the study.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.uri = tracking.uri(folder)
        self.client = MlflowClient(self.uri)
        self.study = files.read_json(folder / "study.json")
        self.states = files.read_json(folder / "ids.json") if (folder / "ids.json").is_file() else {}
        self.state = self.states.setdefault(tracking.without_credentials(self.uri), {"experiments": {}, "runs": {}})

    def check_connection(self) -> None:
        """Raises an exception where MLflow does not answer."""
        self.client.search_experiments(max_results=1)

    def open_parents(self) -> None:
        """Creates the experiment and the parent run of each data set, where the server has none or they were deleted."""
        runs = self.state["runs"]
        for dataset in self.study["datasets"]:
            if dataset in runs and self._is_active(runs[dataset]):
                continue
            if dataset in runs:
                logger.warning(
                    "%s no longer has the runs of %s: new ones are opened", tracking.without_credentials(self.uri), dataset
                )
            for key in [key for key in runs if key.partition("/")[0] == dataset]:
                del runs[key]
            self._open_parent(dataset)

    def send(self, path: Path) -> None:
        """Sends one event, action by action. An action that the server refuses is moved to folder/rejected; the rest is sent."""
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
            # The rest of the event replaces it in the outbox: if the server stops between two actions, the first is not sent
            # again.
            tracking.put(self.folder, path.name, event)
        path.unlink()

    def _try(self, key: str, action: dict) -> dict | None:
        """Sends one action. Returns None, or the action and the error where it was refused. Raises where the server is gone."""
        arguments = {name: value for name, value in action.items() if name != "action"}
        refusal = None
        for _ in range(2):  # a second time, because the server may have been unreachable for a moment
            try:
                getattr(self, f"_{action['action']}")(key, **arguments)
                return None
            except Exception as error:  # a server, a database and a file system raise many types
                self.check_connection()
                refusal = {"error": " ".join(f"{type(error).__name__}: {error}".split()), "actions": [action]}
        return refusal

    def _reject(self, path: Path, event: dict, number: int = 0) -> None:
        """Writes a refused event to folder/rejected and logs an error; `number` tells several of one event apart."""
        rejected = self.folder / "rejected" / f"{path.stem}-{number}.json"
        files.write_json(rejected, event)
        actions = " ".join(action["action"] for action in event.get("actions", []))
        logger.error("MLflow refused %s of %s, kept as %s: %s", actions or "an event", event["key"], rejected, event["error"])

    def _open_parent(self, dataset: str) -> None:
        self.state["experiments"][dataset] = self._experiment(dataset)
        self._create(dataset, self.study["study"], self.study["tags"])
        self._log_params(self.state["runs"][dataset], self.study["params"])

    # Each of the following methods sends the action of its name; its arguments are those of `Tracker`, as JSON.

    def _open(self, key: str, params: dict, tags: dict, time: int) -> None:
        dataset, model, seed = key.split("/")
        if dataset not in self.state["runs"]:  # added to the study after it was described
            self._open_parent(dataset)
        parent = self.state["runs"][dataset]
        name = f"{model} {seed}"
        self._end_running(dataset, f"attributes.run_name = '{name}' and tags.`mlflow.parentRunId` = '{parent}'")
        own_tags = {"dataset": dataset, "model": model, "seed": seed.removeprefix("seed"), "mlflow.parentRunId": parent}
        self._create(key, name, own_tags | tags, time)
        self._log_params(self.state["runs"][key], params)

    def _metrics(self, key: str, points: list) -> None:
        run_id = self._run(key)
        metrics = [Metric(_allowed(name), value, time, step) for name, value, time, step in points]
        for start in range(0, len(metrics), MAX_METRICS):
            self.client.log_batch(run_id, metrics=metrics[start : start + MAX_METRICS])

    def _artifact(self, key: str, path: str, folder: str) -> None:
        self.client.log_artifact(self._run(key), path, folder or None)

    def _model(self, key: str, path: str) -> None:
        from pofxy.tracking import packaging

        packaging.log_model(self.client, self._run(key), Path(path))

    def _finish(self, key: str, status: str, reason: str, time: int) -> None:
        run = self.client.get_run(self._run(key))
        if "/" not in key:  # the study is over: a child run that has not ended belongs to a job that was killed
            self._end_running(key, f"tags.`mlflow.parentRunId` = '{run.info.run_id}'")
        if reason:
            self.client.set_tag(run.info.run_id, "reason", reason[:MAX_TAG_VALUE])
        elif "reason" in run.data.tags:
            self.client.delete_tag(run.info.run_id, "reason")
        if run.info.status != status:
            self.client.set_terminated(run.info.run_id, status, end_time=time)

    def _run(self, key: str) -> str:
        """The run id of a key. A new run is opened where there is none: its train job sent to another server."""
        if key not in self.state["runs"]:
            self._open(key, {}, {}, tracking.now())
        return self.state["runs"][key]

    def _create(self, key: str, name: str, tags: dict, time: int | None = None) -> None:
        tags = {_allowed(tag): str(value)[:MAX_TAG_VALUE] for tag, value in tags.items()}
        run = self.client.create_run(self.state["experiments"][key.partition("/")[0]], time, tags, name)
        self.state["runs"][key] = run.info.run_id
        files.write_json(self.folder / "ids.json", self.states)

    def _log_params(self, run_id: str, params: dict) -> None:
        entries = [Param(_allowed(name), str(value)[:MAX_PARAM_VALUE]) for name, value in params.items()]
        for start in range(0, len(entries), MAX_PARAMS):
            self.client.log_batch(run_id, params=entries[start : start + MAX_PARAMS])

    def _end_running(self, dataset: str, which: str) -> None:
        """Ends as KILLED the runs of an experiment that still run and match a filter of MLflow's search."""
        experiment = self.state["experiments"][dataset]
        for run in self.client.search_runs([experiment], f"attributes.status = 'RUNNING' and {which}"):
            self.client.set_terminated(run.info.run_id, "KILLED")

    def _experiment(self, dataset: str) -> str:
        """The id of the experiment of a data set; it is created or restored where needed."""
        experiment = self.client.get_experiment_by_name(dataset)
        if experiment is None:
            # A server decides where artifacts are stored. With a database alone MLflow would store them in ./mlruns.
            location = None
            if not self.uri.startswith(("http", "databricks")):
                location = (self.folder.resolve().parent / "mlartifacts" / dataset).as_uri()
            return self.client.create_experiment(dataset, artifact_location=location)
        if experiment.lifecycle_stage == "deleted":  # a deleted experiment still occupies its name
            self.client.restore_experiment(experiment.experiment_id)
        return experiment.experiment_id

    def _is_active(self, run_id: str) -> bool:
        try:
            return self.client.get_run(run_id).info.lifecycle_stage == "active"
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False


def _allowed(name: str) -> str:
    """A name that MLflow accepts: other characters are replaced by "_"."""
    return re.sub(r"[^/\w.\- :]", "_", name)[:MAX_NAME]
