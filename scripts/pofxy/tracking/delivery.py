"""Takes events from the outbox to MLflow. Runs under the outbox's lock, so there is one sender at a time.

One experiment per data set; in it one parent run per study and one child per (model, seed). The first delivery makes the
database and the experiments; nothing else opens them, which settles the races of two processes that would.
"""

import json
import logging
import os
from pathlib import Path

# A server that is down answers in a tenth of a second with these, and after four minutes with MLflow's own defaults.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import mlflow
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from pofxy import files, tracking

logger = logging.getLogger("pofxy.tracking")
logging.getLogger("mlflow").setLevel(logging.WARNING)
logging.getLogger("alembic").setLevel(logging.WARNING)


def deliver(folder: Path) -> None:
    """Sends the events of folder/outbox in their order and removes each; stops at the first that the server does not take.

    An event that the server answers and refuses is moved to folder/rejected: it must not hold up the others for ever.
    """
    sender = _Sender(folder)
    if not sender.is_answered():
        return
    sender.open_parents()
    for path in sorted((folder / "outbox").glob("*.json")):
        event = json.loads(path.read_text(encoding="utf-8"))
        try:
            sender.send(event)
        except Exception as error:  # whatever a server, a database or a file system may answer
            if not sender.is_answered():
                return
            logger.error("MLflow refused %s of %s: %s", path.name, event["key"], error)
            (folder / "rejected").mkdir(exist_ok=True)
            path.rename(folder / "rejected" / path.name)
        else:
            path.unlink()


class _Sender:
    """Knows which run of the server belongs to which key; ids.json remembers it, by server."""

    def __init__(self, folder: Path):
        self.folder, self.uri = folder, tracking.uri(folder)
        self.client = MlflowClient(self.uri)
        mlflow.set_tracking_uri(self.uri)
        self.study = files.read_json(folder / "study.json")
        self.state_file = folder / "ids.json"
        self.states = files.read_json(self.state_file) if self.state_file.is_file() else {}
        self.state = self.states.setdefault(self.uri, {"experiments": {}, "runs": {}})

    def is_answered(self) -> bool:
        try:
            self.client.search_experiments(max_results=1)
        except Exception as error:  # MlflowException, or what the HTTP library or the database raises
            logger.warning("%s: %s", self.uri, " ".join(str(error).split())[:300])
            return False
        return True

    def open_parents(self) -> None:
        """The experiment and the parent run of each data set of the study, where the server has none yet."""
        if self.state["runs"] and not self._still_has(next(iter(self.state["runs"].values()))):
            logger.warning("%s has lost its runs: new ones are opened", self.uri)
            self.state.update(experiments={}, runs={})
        for dataset in self.study["datasets"]:
            if dataset not in self.state["experiments"]:
                found = self.client.get_experiment_by_name(dataset)
                # A remote server knows where its artifacts lie; beside our own database they would land in ./mlruns.
                place = (self.folder.resolve().parent / "mlartifacts" / dataset).as_uri() if self.uri.startswith("sqlite") else None
                self.state["experiments"][dataset] = (
                    found.experiment_id if found else self.client.create_experiment(dataset, artifact_location=place)
                )
            if dataset not in self.state["runs"]:
                self._create(dataset, dataset, self.study["study"], self.study["tags"])
                self._log_params(self.state["runs"][dataset], self.study["params"])
        self._remember()

    def _still_has(self, run_id: str) -> bool:
        try:
            self.client.get_run(run_id)
        except MlflowException:
            return False
        return True

    def send(self, event: dict) -> None:
        key = event["key"]
        for action in event["actions"]:
            getattr(self, f"_{action.pop('action')}")(key, **action)
        self._remember()

    def _open(self, key: str, params: dict, tags: dict) -> None:
        self._end_if_running(key)
        dataset, model, seed = key.split("/")
        tags |= {"mlflow.parentRunId": self.state["runs"][dataset]}
        self._create(key, dataset, f"{model} {seed}", tags)
        self._log_params(self.state["runs"][key], params)

    def _metrics(self, key: str, values: dict, step: int, time: int) -> None:
        metrics = [Metric(name, float(value), time, step) for name, value in values.items()]
        for start in range(0, len(metrics), 1000):
            self.client.log_batch(self._run(key), metrics=metrics[start : start + 1000])

    def _artifact(self, key: str, path: str, folder: str) -> None:
        self.client.log_artifact(self._run(key), path, folder or None)

    def _model(self, key: str, path: str) -> None:
        from pofxy.tracking import packaging

        with mlflow.start_run(run_id=self._run(key)):
            packaging.log_model(Path(path))

    def _finish(self, key: str, status: str, reason: str) -> None:
        if reason:
            self.client.set_tag(self._run(key), "reason", reason[:5000])
        self.client.set_terminated(self._run(key), status)

    def _run(self, key: str) -> str:
        """The run of a key; one made now where its train job spoke to another server."""
        if key not in self.state["runs"]:
            self._open(key, {}, {})
        return self.state["runs"][key]

    def _create(self, key: str, dataset: str, name: str, tags: dict) -> None:
        run = self.client.create_run(self.state["experiments"][dataset], run_name=name, tags={k: str(v) for k, v in tags.items()})
        self.state["runs"][key] = run.info.run_id

    def _end_if_running(self, key: str) -> None:
        if key in self.state["runs"] and self.client.get_run(self.state["runs"][key]).info.status == "RUNNING":
            self.client.set_terminated(self.state["runs"][key], "KILLED")

    def _log_params(self, run_id: str, params: dict) -> None:
        self.client.log_batch(run_id, params=[Param(name, str(value)) for name, value in list(params.items())[:100]])

    def _remember(self) -> None:
        files.write_json(self.state_file, self.states)
