"""What arrives in MLflow, and what happens when the server, the database or a job stops. All tests use a real MLflow."""

import importlib
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, Run

from pofxy import tracking
from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.prediction import predict_batched
from pofxy.evaluation import evaluate
from pofxy.evaluation.facts import Facts
from pofxy.evaluation.graph import Graph
from pofxy.report import collect
from pofxy.sampling import sample
from pofxy.storage import files
from pofxy.storage.models import load_model
from pofxy.study import plan
from pofxy.training import fit
from pofxy.workflow import provenance

ROOT = str(Path(__file__).resolve().parents[2])
SPEC = DataSpec("digits", (1, 8, 8), 10, 17, tuple("0123456789"))
SETTINGS = {"lenet": {"steps": 12, "batch": 8}, "vae": {"steps": 12, "batch": 8}}
ORIGIN = {"commit": "c0ffee", "config_hash": "123456789abc"}
KEY = "digits/lenet/seed0"

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def database_in_results(monkeypatch):
    """Whatever the environment names, the tests use the database in their results folder, unless a test names another server."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """An empty MLflow database: creating one takes seconds, copying it does not."""
    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def folder(tmp_path, database):
    """A results folder with the description of a study and a database."""
    shutil.copy(database, tmp_path)
    return describe_study(tmp_path)


def describe_study(folder: Path, datasets: Sequence[str] = ("digits",), **params: object) -> Path:
    """Writes study.json into a results folder, and returns the folder."""
    study = {"study": "trial", "datasets": list(datasets), "params": {"seeds": [0]} | params, "tags": ORIGIN}
    files.write_json(folder / "tracking/study.json", study)
    return folder


def write_event(folder: Path, key: str = KEY, **metrics: float) -> None:
    """Writes one event to the outbox: these metrics, or, where there are none, the opening of a run."""
    tracker = tracking.Tracker(folder, key)
    if not metrics:
        tracker.open({}, {})
    tracker.metrics(metrics)
    tracker.flush()


def client_of(folder: Path) -> MlflowClient:
    return MlflowClient(tracking.uri(folder / "tracking"))


def run_of(folder: Path, key: str = KEY) -> Run:
    return client_of(folder).get_run(tracking.run_ids(folder)[key])


def child_runs(folder: Path, dataset: str = "digits") -> list[Run]:
    """The child runs of a data set's experiment, in the order of their start."""
    client = client_of(folder)
    runs = client.search_runs([client.get_experiment_by_name(dataset).experiment_id], order_by=["attributes.start_time"])
    return [run for run in runs if "mlflow.parentRunId" in run.data.tags]


def history(folder: Path, name: str, key: str = KEY) -> list[tuple[int, float]]:
    """(step, value) of a metric, in the order of the steps."""
    points = client_of(folder).get_metric_history(tracking.run_ids(folder)[key], name)
    return sorted((point.step, point.value) for point in points)


def rejected(folder: Path) -> list[dict]:
    return [files.read_json(path) for path in sorted((folder / "tracking/rejected").glob("*"))]


def model_of(folder: Path, key: str) -> tuple[LoggedModel, Path]:
    """The logged model of a run, and the folder of its files."""
    (output,) = run_of(folder, key).outputs.model_outputs
    model = client_of(folder).get_logged_model(output.model_id)
    return model, Path(model.artifact_location.removeprefix("file://"))


def run_python(code: str, *arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    """Runs Python in a process that does not inherit the import path and the tracking address of this one."""
    not_inherited = ("PYTHONPATH", "MLFLOW_TRACKING_URI")
    environment = {name: value for name, value in os.environ.items() if name not in not_inherited} | environment
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


# ---- a study from its first event to its last ----


@pytest.fixture(scope="module")
def study(tmp_path_factory, database):
    """A small study, run as the scripts do, collected and closed: a torch model, a scikit-learn model and a generative model."""
    folder = describe_study(tmp_path_factory.mktemp("study"))
    shutil.copy(database, folder)
    x = torch.from_numpy(np.random.default_rng(0).integers(0, 17, (60, *SPEC.shape)).astype(np.float32) / 16)
    y = torch.arange(60) % 10
    files.write_json(folder / "data/digits/spec.json", {})
    models = ["lenet", "logistic_regression", "vae"]
    config = {"study": "trial", "results": str(folder), "datasets": ["digits"], "models": models, "seeds": [0]}
    config["learning_curve"] = {"models": []}
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for run in plan.runs(config):
            if run.model in config["models"]:
                run_jobs(folder, run, x, y)
        (folder / "report").mkdir()
        (folder / "report/index.html").write_text("<h1>report</h1>")
        for _ in range(2):  # collecting again must change nothing
            collect.collect(config)
            collect.close(config)
    return SimpleNamespace(folder=folder, x=x, config=config)


def run_jobs(folder: Path, run: plan.Run, x: torch.Tensor, y: torch.Tensor) -> None:
    """Trains a model, samples or evaluates it, and writes what the job cost, as its frame would."""
    run_folder = folder / "runs" / run.key
    tracker = tracking.Tracker(folder, run.key)
    outputs = fit.Outputs(*(str(run_folder / name) for name in ("model", "history.csv", "train.json", "training_samples")))
    data = TrainingData(SPEC, x[:40], y[:40], x[40:], y[40:])
    fit.fit(run, SETTINGS.get(run.model, {}), data, outputs, "", 600, ORIGIN, tracker)
    if run.model == "vae":
        outputs = sample.Outputs(*(str(run_folder / name) for name in ("x.npy", "y.npy", "samples.png", "sample.json")))
        sample.sample(str(run_folder / "model"), 20, [1] * SPEC.classes, 0, outputs, tracker)
        files.write_csv(run_folder / "scores.csv", [], ["metric"])
    else:
        outputs = evaluate.Outputs(
            *(str(run_folder / name) for name in ("scores.csv", "curves.csv", "pictures", "predictions", "evaluate.json"))
        )
        facts = Facts.of(model=load_model(run_folder / "model"), spec=SPEC, x=x, y=y, x_train=x, y_train=y)
        evaluate.evaluate(Graph(facts, run.capabilities), run, outputs, tracker)
        tracker.flush()
    (run_folder / "logs").mkdir()
    (run_folder / "logs/train.tsv").write_text("s\tcpu_time\tmax_rss\n1.5\t1.2\t200\n")


@pytest.mark.slow
def test_a_study_is_an_experiment_per_data_set_with_a_parent_run(study):
    experiment = client_of(study.folder).get_experiment_by_name("digits")
    assert experiment.artifact_location == (study.folder / "mlartifacts/digits").as_uri()
    parent = run_of(study.folder, "digits")
    assert parent.info.run_name == "trial"
    assert parent.info.experiment_id == experiment.experiment_id
    assert parent.data.params["seeds"] == "[0]"
    assert parent.data.params["models"] == "['lenet', 'logistic_regression', 'vae']"
    assert parent.data.tags["config_hash"] == provenance.config_hash(study.config)
    assert "commit" in parent.data.tags
    assert not tracking.waiting(study.folder / "tracking")
    assert not rejected(study.folder)


def test_the_parent_run_ends_with_the_report_and_names_the_failed_runs(study):
    parent = run_of(study.folder, "digits")
    files_there = client_of(study.folder).list_artifacts(parent.info.run_id, "report")
    assert [file.path for file in files_there] == [
        "report/curves.csv",
        "report/index.html",
        "report/runs.csv",
        "report/scores.csv",
    ]
    # The reference models and the feature net, which this study has not run.
    assert parent.info.status == "FAILED"
    assert parent.data.tags["reason"].startswith("failed: ")
    assert "lenet" not in parent.data.tags["reason"]


@pytest.mark.parametrize("model", ["lenet", "logistic_regression", "vae"])
def test_a_child_run_has_parameters_provenance_and_cost(study, model):
    run = run_of(study.folder, f"digits/{model}/seed0")
    settings = files.read_json(study.folder / f"runs/digits/{model}/seed0/train.json")["settings"]
    assert run.info.status == "FINISHED"
    assert run.info.start_time <= run.info.end_time
    assert run.data.params == {name: str(value) for name, value in settings.items()}
    family = "generative" if model == "vae" else "discriminative"
    tags = ORIGIN | {"dataset": "digits", "model": model, "seed": "0", "family": family}
    tags |= {"mlflow.parentRunId": tracking.run_ids(study.folder)["digits"]}
    assert run.data.tags.items() >= tags.items()
    assert run.data.metrics["cost/parameters"] > 0
    assert run.data.metrics["cost/fit_seconds"] > 0
    assert run.data.metrics["cost/train/max_rss"] == 200
    assert history(study.folder, "cost/train/s", f"digits/{model}/seed0") == [(0, 1.5)]


@pytest.mark.parametrize("model", ["lenet", "vae"])
def test_curves_have_a_point_for_each_epoch(study, model):
    rows = files.read_csv(study.folder / f"runs/digits/{model}/seed0/history.csv")
    names = [name for name in run_of(study.folder, f"digits/{model}/seed0").data.metrics if name.startswith("epoch/")]
    assert len(rows) > 1
    assert names
    for name in names:
        expected = {int(row["epoch"]): float(row[name.removeprefix("epoch/")]) for row in rows}
        assert dict(history(study.folder, name, f"digits/{model}/seed0")) == pytest.approx(expected)


@pytest.mark.parametrize("model", ["lenet", "logistic_regression"])
def test_scores_arrive(study, model):
    metrics = run_of(study.folder, f"digits/{model}/seed0").data.metrics
    rows = files.read_csv(study.folder / f"runs/digits/{model}/seed0/scores.csv")
    assert rows
    assert {f"test/{row['metric']}": float(row["value"]) for row in rows}.items() <= metrics.items()
    assert metrics["cost/predict_ms_per_image"] > 0


def test_the_sample_grid_is_an_artifact(study):
    run_id = tracking.run_ids(study.folder)["digits/vae/seed0"]
    copied = study.folder / "mlartifacts/digits" / run_id / "artifacts/samples/samples.png"
    assert copied.read_bytes() == (study.folder / "runs/digits/vae/seed0/samples.png").read_bytes()
    assert run_of(study.folder, "digits/vae/seed0").data.metrics["cost/sample_seconds_per_1000"] > 0


def test_runs_csv_has_the_ids_of_the_runs(study):
    ids = tracking.run_ids(study.folder)
    named = {
        f"digits/{row['model']}/seed0": row["mlflow_run_id"] for row in collect.read_runs(study.config) if row["mlflow_run_id"]
    }
    assert named == {key: value for key, value in ids.items() if "/" in key}


@pytest.mark.parametrize("model", ["lenet", "logistic_regression", "vae"])
def test_a_logged_model_has_a_signature_and_is_small_and_no_pickle(study, model):
    logged, model_folder = model_of(study.folder, f"digits/{model}/seed0")
    assert logged.status == "READY"
    kept = [path for path in model_folder.rglob("*") if path.is_file()]
    assert not [path for path in kept if path.suffix in (".pkl", ".pickle", ".pt", ".joblib")]
    assert not [path for path in kept if path.read_bytes()[:1] == b"\x80"]  # the first byte of a pickle
    code = sum(path.stat().st_size for path in (model_folder / "code").rglob("*.py"))
    assert code < 100_000
    stored = mlflow.models.Model.load(str(model_folder))
    images = ("float32", (-1, 1, 8, 8))
    labels = ("int64", (-1,))
    (inputs,) = stored.signature.inputs.inputs
    (outputs,) = stored.signature.outputs.inputs
    expected = (labels, images) if model == "vae" else (images, labels)
    assert ((str(inputs.type), inputs.shape), (str(outputs.type), outputs.shape)) == expected
    assert stored.load_input_example(str(model_folder)).shape == (1,) if model == "vae" else (1, 1, 8, 8)
    needed = (model_folder / "requirements.txt").read_text()
    assert ("scikit-learn==" in needed) == (model == "logistic_regression")
    assert "torch==" in needed
    assert "+" not in needed


LOAD = """
import json, sys
import mlflow, numpy as np
x = np.load(sys.argv[1])
outputs = {}
for model, run_id in json.loads(sys.argv[2]).items():
    loaded = mlflow.pyfunc.load_model(f"runs:/{run_id}/model")
    inputs = np.zeros(7, np.int64) if model == "vae" else x
    outputs[model] = loaded.predict(inputs).tolist()
    if model == "vae":
        outputs["again"] = loaded.predict(inputs).tolist()
        outputs["another seed"] = loaded.predict(inputs, params={"seed": 1}).tolist()
        outputs["example"] = loaded.predict(loaded.input_example).tolist()
import pofxy
outputs["code"] = pofxy.__file__
print(json.dumps(outputs))
"""


@pytest.mark.slow
def test_logged_models_load_with_the_code_stored_with_them(study, tmp_path):
    """Several models in one process without another pofxy: each has its own code, and it is found beside that of the first."""
    np.save(tmp_path / "x.npy", study.x.numpy())
    ids = {model: tracking.run_ids(study.folder)[f"digits/{model}/seed0"] for model in study.config["models"]}
    uri = tracking.uri(study.folder / "tracking")
    process = run_python(LOAD, tmp_path / "x.npy", json.dumps(ids), cwd=tmp_path, MLFLOW_TRACKING_URI=uri)
    assert process.returncode == 0, process.stderr
    outputs = json.loads(process.stdout)
    assert outputs["code"].endswith("model/code/pofxy/__init__.py")
    for model in ("lenet", "logistic_regression"):
        own = load_model(study.folder / f"runs/digits/{model}/seed0/model")
        assert outputs[model] == predict_batched(own, "predict", study.x).tolist()
    samples = np.array(outputs["vae"])
    assert samples.shape == (7, 1, 8, 8)
    assert samples.min() >= 0
    assert samples.max() <= 1
    assert samples.std() > 0
    assert outputs["again"] == outputs["vae"] != outputs["another seed"]
    assert np.shape(outputs["example"]) == (1, 1, 8, 8)


def test_the_code_of_a_model_is_added_to_packages_that_are_already_imported(tmp_path, monkeypatch):
    """Models need different modules of one package, and the first model's package is already imported."""
    import pofxy.storage
    from pofxy.tracking import served

    packages = [pofxy, pofxy.storage]
    for package in packages:
        monkeypatch.setattr(package, "__path__", list(package.__path__))
    (tmp_path / "pofxy/storage").mkdir(parents=True)
    (tmp_path / "pofxy/storage/module_of_second_model.py").write_text("ANSWER = 42\n")
    for _ in range(2):
        served.add_code(tmp_path)
    module = importlib.import_module("pofxy.storage.module_of_second_model")
    monkeypatch.delitem(sys.modules, "pofxy.storage.module_of_second_model")
    assert module.ANSWER == 42
    assert pofxy.storage.__path__.count(str(tmp_path / "pofxy/storage")) == 1


# ---- how runs end ----


FAIL = """
import sys
from pathlib import Path
from types import SimpleNamespace
from pofxy import tracking
from pofxy.workflow.job import job
from pofxy.study.run import Run
results = Path(sys.argv[1])
run = Run("digits", "lenet", "lenet", "discriminative", 0, ())
paths = {"output": [results / "runs/model"], "log": [results / "train.log"]}
snakemake = SimpleNamespace(params=SimpleNamespace(run=run), config={"results": str(results)}, **paths)
with job(snakemake, "train"):
    tracker = tracking.Tracker(str(results), run.key)
    tracker.open({"steps": 3}, {})
    tracker.flush()
    tracker.metrics({"epoch/loss": 1.0}, step=1)
    tracker.metrics({"epoch/loss": float("nan")}, step=2)
    raise ValueError("loss is nan after epoch 2")
"""


def test_a_job_that_fails_ends_its_run_as_failed_with_the_reason_and_its_curve(folder):
    process = run_python(FAIL, folder, cwd=folder, PYTHONPATH=ROOT)
    assert process.returncode == 1, process.stderr
    tracking.deliver(folder)
    run = run_of(folder)
    assert run.info.status == "FAILED"
    assert run.data.tags["reason"] == "ValueError: loss is nan after epoch 2"
    assert run.data.params == {"steps": "3"}
    (first, second) = history(folder, "epoch/loss")
    assert first == (1, 1.0)
    assert second[0] == 2
    assert np.isnan(second[1])


def test_a_run_that_succeeds_after_a_failure_is_finished_and_has_no_reason(folder):
    tracker = tracking.Tracker(folder, KEY)
    tracker.open({}, {})
    tracker.finish("FAILED", "evaluate: no memory")
    tracker.flush()
    tracking.deliver(folder)
    assert run_of(folder).info.status == "FAILED"
    tracker.finish()
    tracker.flush()
    tracking.deliver(folder)
    ended = run_of(folder)
    assert ended.info.status == "FINISHED"
    assert "reason" not in ended.data.tags
    tracker.finish()
    tracker.flush()
    tracking.deliver(folder)
    assert run_of(folder).info.end_time == ended.info.end_time


def test_a_run_opened_again_ends_the_one_whose_process_was_killed(folder):
    for key in (KEY, KEY, "digits/vae/seed0"):
        write_event(folder, key)
    tracking.deliver(folder)
    statuses = [(run.info.run_name, run.info.status) for run in child_runs(folder)]
    assert sorted(statuses) == [("lenet seed0", "KILLED"), ("lenet seed0", "RUNNING"), ("vae seed0", "RUNNING")]
    assert run_of(folder).info.status == "RUNNING"


def test_closing_a_study_leaves_no_run_running(folder):
    describe_study(folder, ["digits", "mnist"])
    for key in ("digits/lenet/seed0", "digits/removed_from_the_config/seed0", "mnist/lenet/seed0"):
        write_event(folder, key)
    tracker = tracking.Tracker(folder, "digits")
    tracker.finish()
    tracker.flush()
    assert tracking.deliver(folder) == 0
    assert [run.info.status for run in child_runs(folder)] == ["KILLED", "KILLED"]
    assert [run.info.status for run in child_runs(folder, "mnist")] == ["RUNNING"]
    assert run_of(folder, "digits").info.status == "FINISHED"


# ---- what MLflow refuses ----


def test_numbers_names_and_texts_are_brought_within_mlflows_limits(folder):
    params = {f"p{i}": i for i in range(250)} | {"long": "x" * 10_000, "odd (name)!": {"a": None}}
    tracker = tracking.Tracker(folder, KEY)
    tracker.open(params, {"note": "y" * 10_000})
    tracker.metrics({"nan": float("nan"), "inf": float("inf"), "none": None, "acc@5 (%)": np.float32(0.5), "n" * 300: 1})
    for step in range(2500):
        tracker.metrics({"many": step}, step)
    tracker.finish("FAILED", "z" * 10_000)
    tracker.flush()
    assert tracking.deliver(folder) == 0
    assert not rejected(folder)
    data = run_of(folder).data
    assert len(data.params) == 252
    assert data.params["long"] == "x" * 6000
    assert data.params["odd _name__"] == "{'a': None}"
    assert np.isnan(data.metrics["nan"])
    assert data.metrics["inf"] > 1e300
    assert data.metrics["acc_5 ___"] == 0.5
    assert data.metrics["n" * 250] == 1
    assert "none" not in data.metrics
    assert len(history(folder, "many")) == 2500
    assert data.tags["reason"] == "z" * 8000


def test_refused_actions_are_kept_in_rejected_and_the_rest_is_sent(folder, caplog):
    tracker = tracking.Tracker(folder, KEY)
    tracker.open({}, {})
    tracker.artifact(folder / "there_is_none.png", "samples")
    tracker.model(folder / "no_model")
    tracker.metrics({"test/accuracy": 0.5})
    tracker.finish()
    tracker.flush()
    (folder / "tracking/outbox/0-broken.json").write_text('{"key": ')
    write_event(folder, test=1)
    assert tracking.deliver(folder) == 0
    assert run_of(folder).info.status == "FINISHED"
    assert run_of(folder).data.metrics == {"test/accuracy": 0.5, "test": 1}
    assert {action["action"] for event in rejected(folder) for action in event.get("actions", [])} == {"artifact", "model"}
    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(errors) == 3
    assert any("MLflow refused artifact of digits/lenet/seed0" in line and "there_is_none.png" in line for line in errors)


# ---- databases and servers that stop and return ----


@pytest.mark.slow
def test_a_deleted_database_and_another_address_get_new_parents(folder, database, tmp_path, monkeypatch):
    write_event(folder)
    tracking.deliver(folder)
    first = tracking.run_ids(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shutil.copy(database, tmp_path / 'other.db')}")
    assert tracking.run_ids(folder) == {}
    write_event(folder, **{"test/accuracy": 0.5})  # of a run that this database does not have
    assert tracking.deliver(folder) == 0
    assert run_of(folder).data.metrics == {"test/accuracy": 0.5}
    assert run_of(folder).data.tags["mlflow.parentRunId"] == tracking.run_ids(folder)["digits"] != first["digits"]

    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert tracking.run_ids(folder) == first
    shutil.copy(database, folder / "fresh.db")
    os.replace(folder / "fresh.db", folder / "mlflow.db")
    write_event(folder, **{"test/accuracy": 0.25})
    # In a process of its own, as in the workflow: within one process MLflow keeps the deleted database open.
    code = "import sys; from pofxy import tracking; tracking.deliver(sys.argv[1])"
    process = run_python(code, folder, cwd=folder, PYTHONPATH=ROOT)
    assert process.returncode == 0, process.stderr
    assert tracking.run_ids(folder)["digits"] != first["digits"]
    assert not tracking.waiting(folder / "tracking")
    assert not rejected(folder)


def test_an_experiment_deleted_by_hand_is_restored(folder):
    write_event(folder)
    tracking.deliver(folder)
    client = client_of(folder)
    client.delete_experiment(client.get_experiment_by_name("digits").experiment_id)
    write_event(folder)
    assert tracking.deliver(folder) == 0
    assert not rejected(folder)
    assert run_of(folder).info.lifecycle_stage == "active"


def test_an_address_without_a_server_makes_no_job_fail(folder, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:secret@127.0.0.1:1/none")
    write_event(folder)
    assert tracking.deliver(folder) == 1
    assert len(caplog.records) == 1
    kept = caplog.text + "".join(path.read_text() for path in folder.rglob("*.json"))
    assert "postgresql://127.0.0.1:1/none" in kept
    assert "secret" not in kept


class Server:
    """An MLflow server on a free port, to start and to kill."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.process: subprocess.Popen | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts the server and waits until it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        # Without its job queue, which tracking does not use, the server starts in half the time.
        environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        log = self.folder / "server.log"
        with log.open("a") as output:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=output, stderr=output, start_new_session=True
            )
        end = time.monotonic() + 120
        while not self.answers():
            assert self.process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.1)

    def answers(self) -> bool:
        """Whether the server answers a request."""
        try:
            return urllib.request.urlopen(f"{self.uri}/health", timeout=1).status == 200
        except OSError:
            return False

    def kill(self) -> None:
        """Kills the server and its workers, where it runs."""
        if self.process:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture
def server(tmp_path, database, monkeypatch):
    """A server that has not been started; the environment names its address."""
    folder = tmp_path / "server"
    folder.mkdir()
    shutil.copy(database, folder)
    server = Server(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    yield server
    server.kill()


@pytest.mark.slow
def test_while_a_server_is_down_no_job_fails_and_no_event_is_lost(server, study, tmp_path, caplog, capfd):
    folder = describe_study(tmp_path / "results")
    tracker = tracking.Tracker(folder, KEY)
    tracker.open({"steps": 3}, {"commit": "c0ffee"})
    tracker.flush()
    for step in range(5):
        write_event(folder, **{"epoch/loss": step})
    tracking.deliver_if_due(folder)  # the first delivery is due at once
    tracking.deliver_if_due(folder)  # not due: the last attempt was a moment ago
    assert len(tracking.waiting(folder / "tracking")) == 6
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert f"MLflow at {server.uri} does not answer: 6 events are kept" in record.getMessage()

    server.start()
    tracker.model(study.folder / "runs/digits/lenet/seed0/model")
    tracker.artifact(study.folder / "runs/digits/vae/seed0/samples.png", "samples")
    tracker.flush()
    assert tracking.deliver(folder) == 0
    assert sorted(value for _, value in history(folder, "epoch/loss")) == [0, 1, 2, 3, 4]
    assert run_of(folder).data.params == {"steps": "3"}
    (output,) = run_of(folder).outputs.model_outputs
    uri = f"models:/{output.model_id}"
    copy = mlflow.artifacts.download_artifacts(uri, tracking_uri=server.uri, dst_path=str(tmp_path / "model"))
    loaded = mlflow.pyfunc.load_model(copy)
    own = load_model(study.folder / "runs/digits/lenet/seed0/model")
    assert loaded.predict(study.x.numpy()).tolist() == predict_batched(own, "predict", study.x).tolist()

    server.kill()
    write_event(folder, later=1)
    tracker.finish()
    tracker.flush()
    assert tracking.deliver(folder) == 2
    server.start()
    assert tracking.deliver(folder) == 0
    assert not rejected(folder)
    (child,) = child_runs(folder)
    assert child.info.status == "FINISHED"
    assert child.data.metrics == {"epoch/loss": 4, "later": 1}
    assert len(history(folder, "later")) == 1
    assert capfd.readouterr().out == ""


def test_a_server_that_stops_within_an_event_gets_only_the_rest_later(folder, monkeypatch):
    from pofxy.tracking import delivery

    tracker = tracking.Tracker(folder, KEY)
    tracker.open({}, {})
    tracker.metrics({"a": 1})
    tracker.finish()
    tracker.flush()

    with monkeypatch.context() as server:

        def die(*_, **__):
            server.setattr(delivery._Sender, "check_connection", die)
            raise ConnectionError("gone")

        server.setattr(delivery._Sender, "_finish", die)
        assert tracking.deliver(folder) == 1
    (path,) = tracking.waiting(folder / "tracking")
    assert [action["action"] for action in files.read_json(path)["actions"]] == ["finish"]
    assert tracking.deliver(folder) == 0
    (child,) = child_runs(folder)
    assert child.info.status == "FINISHED"


DELIVER_AT_ONCE = """
import os, sys
# Once for all processes: what takes long to import or to find out, and touches no database.
import mlflow.pyfunc, mlflow.store.tracking.sqlalchemy_store
from pofxy import tracking
from pofxy.tracking import delivery, packaging
packaging._distributions()
mlflow.pyfunc.save_model

def work(results, worker, model):
    tracker = tracking.Tracker(results, f"digits/model{worker}/seed0")
    tracker.open({"worker": worker}, {})
    for step in range(50):
        tracker.metrics({"epoch/loss": step}, step)
        tracker.flush()
        if step % 10 == 0:
            tracking.deliver(results)
    tracker.model(model)
    tracker.finish()
    tracker.flush()
    tracking.deliver(results)

processes = []
for worker in range(4):
    process = os.fork()
    if process == 0:
        work(sys.argv[1], worker, sys.argv[2])
        sys.exit()
    processes.append(process)
sys.exit(any(os.waitpid(process, 0)[1] for process in processes))
"""


@pytest.mark.slow
def test_four_processes_that_deliver_at_once_lose_and_double_nothing(study, tmp_path):
    """The database does not exist yet when they start. MLflow must print nothing."""
    folder = describe_study(tmp_path / "results")
    model = study.folder / "runs/digits/lenet/seed0/model"
    process = run_python(DELIVER_AT_ONCE, folder, model, cwd=tmp_path, PYTHONPATH=ROOT)
    assert process.returncode == 0, process.stderr
    assert process.stdout + process.stderr == ""
    assert not tracking.waiting(folder / "tracking")
    assert not rejected(folder)
    runs = child_runs(folder)
    assert sorted(run.data.params["worker"] for run in runs) == ["0", "1", "2", "3"]
    assert {run.info.status for run in runs} == {"FINISHED"}
    for number in range(4):
        key = f"digits/model{number}/seed0"
        assert history(folder, "epoch/loss", key) == [(step, step) for step in range(50)]
        assert model_of(folder, key)[0].status == "READY"
    names = [experiment.name for experiment in client_of(folder).search_experiments()]
    assert sorted(names) == ["Default", "digits"]


def test_the_outbox_never_holds_a_partly_written_event(folder, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as process:
        process.setattr(files.os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            write_event(folder)
    assert not list((folder / "tracking").glob("outbox/*"))


def test_a_data_set_added_to_the_study_later_gets_a_parent_run(folder):
    write_event(folder, "letters/lenet/seed0", loss=1.0)
    assert tracking.deliver(folder) == 0
    assert [run.info.run_name for run in child_runs(folder, "letters")] == ["lenet seed0"]
    assert not rejected(folder)


def test_the_metrics_of_a_long_training_are_sent_while_it_runs(folder, monkeypatch):
    monkeypatch.setattr(tracking, "DUE_SECONDS", 0)
    tracker = tracking.Tracker(folder, KEY)
    tracker.open({}, {})
    tracker.metrics({"epoch/loss": 0.5}, step=1)
    end = time.monotonic() + 120
    while KEY not in tracking.run_ids(folder) or not history(folder, "epoch/loss"):
        assert time.monotonic() < end, "nothing was sent"
        time.sleep(0.3)
    assert history(folder, "epoch/loss") == [(1, 0.5)] and run_of(folder).info.status == "RUNNING"
