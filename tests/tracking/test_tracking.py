"""MLflow: what arrives there, and what becomes of it when the server, the database or a job goes away. All with a real MLflow."""

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
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient

from pofxy import tracking
from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.prediction import predict_batched
from pofxy.evaluation import evaluate
from pofxy.report import collect
from pofxy.sampling import sample
from pofxy.storage import files
from pofxy.storage.models import load_model
from pofxy.study import plan
from pofxy.training import fit
from pofxy.workflow import provenance

SCRIPTS = str(Path(__file__).resolve().parents[2])
SPEC = DataSpec("digits", (1, 8, 8), 10, 17, tuple("0123456789"))
SETTINGS = {"lenet": {"steps": 12, "batch": 8}, "vae": {"steps": 12, "batch": 8}}
ORIGIN = {"commit": "c0ffee", "config_hash": "123456789abc"}
KEY = "digits/lenet/seed0"

# One MLflow server at a time, and one process that pays for its start.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def own_server(monkeypatch):
    """The tests' MLflow is the one beside the results, whatever the environment says, unless a test names another."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """An empty MLflow database: making one takes seconds, copying it does not."""
    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def folder(tmp_path, database):
    """A results folder with an opened study and a database."""
    shutil.copy(database, tmp_path)
    return opened(tmp_path)


def opened(folder, datasets=("digits",), **params):
    study = {"study": "trial", "datasets": list(datasets), "params": {"seeds": [0]} | params, "tags": ORIGIN}
    files.write_json(folder / "tracking/study.json", study)
    return folder


def say(folder, key=KEY, **metrics):
    """One event: a run is opened, and numbers, if any, are said of it."""
    tracker = tracking.Tracker(folder, key)
    if not metrics:
        tracker.open({}, {})
    tracker.metrics(metrics)
    tracker.flush()


def client_of(folder):
    return MlflowClient(tracking.uri(folder / "tracking"))


def run_of(folder, key=KEY):
    return client_of(folder).get_run(tracking.run_ids(folder)[key])


def children(folder, dataset="digits"):
    client = client_of(folder)
    runs = client.search_runs([client.get_experiment_by_name(dataset).experiment_id], order_by=["attributes.start_time"])
    return [run for run in runs if "mlflow.parentRunId" in run.data.tags]


def history(folder, name, key=KEY):
    """(step, value) of a metric, in the order of the steps."""
    points = client_of(folder).get_metric_history(tracking.run_ids(folder)[key], name)
    return sorted((point.step, point.value) for point in points)


def rejected(folder):
    return [files.read_json(path) for path in sorted((folder / "tracking/rejected").glob("*"))]


def model_of(folder, key):
    """The logged model of a run, and where its files lie."""
    (output,) = run_of(folder, key).outputs.model_outputs
    model = client_of(folder).get_logged_model(output.model_id)
    return model, Path(model.artifact_location.removeprefix("file://"))


def run_python(code, *arguments, cwd, **environment):
    """A fresh process that knows nothing of this one's paths and variables."""
    strange = ("PYTHONPATH", "MLFLOW_TRACKING_URI")
    environment = {name: value for name, value in os.environ.items() if name not in strange} | environment
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


# ---- a study from its first event to its last ----


@pytest.fixture(scope="module")
def study(tmp_path_factory, database):
    """A small study as the scripts make it, collected and closed, with a model of each kind: torch, scikit-learn, a generator."""
    folder = opened(tmp_path_factory.mktemp("study"))
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
        for _ in range(2):  # the second time changes nothing
            collect.collect(config)
            collect.close(config)
    return SimpleNamespace(folder=folder, x=x, config=config)


def run_jobs(folder, run, x, y):
    """Trains, then samples or evaluates, and leaves Snakemake's figures."""
    place = folder / "runs" / run.key
    tracker = tracking.Tracker(folder, run.key)
    outputs = fit.Outputs(*(str(place / name) for name in ("model", "history.csv", "train.json", "training_samples")))
    data = TrainingData(SPEC, x[:40], y[:40], x[40:], y[40:])
    fit.fit(run, SETTINGS.get(run.model, {}), data, outputs, "", 600, ORIGIN, tracker)
    if run.model == "vae":
        outputs = sample.Outputs(*(str(place / name) for name in ("x.npy", "y.npy", "samples.png", "sample.json")))
        sample.sample(str(place / "model"), 20, [1] * SPEC.classes, 0, outputs, tracker)
        files.write_csv(place / "scores.csv", [], ["metric"])
    else:
        outputs = evaluate.Outputs(
            *(str(place / name) for name in ("scores.csv", "curves.csv", "pictures", "predictions", "evaluate.json"))
        )
        evidence = evaluate.EvaluationContext(load_model(place / "model"), (x, y), (x, y), SPEC)
        evaluate.evaluate(evidence, run, outputs, tracker)
        tracker.flush()
    (place / "logs").mkdir()
    (place / "logs/train.tsv").write_text("s\th:m:s\tmax_rss\tio_in\n1.5\t0:00:01\t200\t-\n")


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


def test_the_parent_ends_with_the_report_and_says_what_failed(study):
    parent = run_of(study.folder, "digits")
    files_there = client_of(study.folder).list_artifacts(parent.info.run_id, "report")
    assert [file.path for file in files_there] == [
        "report/curves.csv",
        "report/index.html",
        "report/runs.csv",
        "report/scores.csv",
    ]
    # The references and the judge, which this study has not run.
    assert parent.info.status == "FAILED"
    assert parent.data.tags["reason"].startswith("failed: ")
    assert "lenet" not in parent.data.tags["reason"]


@pytest.mark.parametrize("model", ["lenet", "logistic_regression", "vae"])
def test_a_child_has_parameters_origin_and_cost(study, model):
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
    assert run.data.metrics["benchmark/train/max_rss"] == 200
    assert not {"benchmark/train/h:m:s", "benchmark/train/io_in"} & set(run.data.metrics)
    assert history(study.folder, "benchmark/train/s", f"digits/{model}/seed0") == [(0, 1.5)]


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


def test_runs_csv_names_the_runs(study):
    ids = tracking.run_ids(study.folder)
    named = {
        f"digits/{row['model']}/seed0": row["mlflow_run_id"] for row in collect.read_runs(study.config) if row["mlflow_run_id"]
    }
    assert named == {key: value for key, value in ids.items() if "/" in key}


@pytest.mark.parametrize("model", ["lenet", "logistic_regression", "vae"])
def test_a_logged_model_is_described_small_and_no_pickle(study, model):
    logged, place = model_of(study.folder, f"digits/{model}/seed0")
    assert logged.status == "READY"
    kept = [path for path in place.rglob("*") if path.is_file()]
    assert not [path for path in kept if path.suffix in (".pkl", ".pickle", ".pt", ".joblib")]
    assert not [path for path in kept if path.read_bytes()[:1] == b"\x80"]  # how a pickle begins, whatever its name
    code = sum(path.stat().st_size for path in (place / "code").rglob("*.py"))
    assert code < 100_000
    described = mlflow.models.Model.load(str(place))
    images, labels = ("float32", (-1, 1, 8, 8)), ("int64", (-1,))
    (taken,), (given,) = described.signature.inputs.inputs, described.signature.outputs.inputs
    expected = (labels, images) if model == "vae" else (images, labels)
    assert ((str(taken.type), taken.shape), (str(given.type), given.shape)) == expected
    assert described.load_input_example(str(place)).shape == (1,) if model == "vae" else (1, 1, 8, 8)
    needed = (place / "requirements.txt").read_text()
    assert ("scikit-learn==" in needed) == (model == "logistic_regression")
    assert "torch==" in needed
    assert "+" not in needed


LOAD = """
import json, sys
import mlflow, numpy as np
x = np.load(sys.argv[1])
said = {}
for model, run_id in json.loads(sys.argv[2]).items():
    loaded = mlflow.pyfunc.load_model(f"runs:/{run_id}/model")
    given = np.zeros(7, np.int64) if model == "vae" else x
    said[model] = loaded.predict(given).tolist()
    if model == "vae":
        said["again"] = loaded.predict(given).tolist()
        said["another seed"] = loaded.predict(given, params={"seed": 1}).tolist()
        said["example"] = loaded.predict(loaded.input_example).tolist()
import pofxy
said["code"] = pofxy.__file__
print(json.dumps(said))
"""


def test_logged_models_load_elsewhere_with_the_code_they_carry(study, tmp_path):
    """Several in one process: each carries its own code alone, and finds it beside that of the first."""
    np.save(tmp_path / "x.npy", study.x.numpy())
    ids = {model: tracking.run_ids(study.folder)[f"digits/{model}/seed0"] for model in study.config["models"]}
    uri = tracking.uri(study.folder / "tracking")
    process = run_python(LOAD, tmp_path / "x.npy", json.dumps(ids), cwd=tmp_path, MLFLOW_TRACKING_URI=uri)
    assert process.returncode == 0, process.stderr
    said = json.loads(process.stdout)
    assert said["code"].endswith("model/code/pofxy/__init__.py")
    for model in ("lenet", "logistic_regression"):
        own = load_model(study.folder / f"runs/digits/{model}/seed0/model")
        assert said[model] == predict_batched(own, "predict", study.x).tolist()
    samples = np.array(said["vae"])
    assert samples.shape == (7, 1, 8, 8)
    assert samples.min() >= 0
    assert samples.max() <= 1
    assert samples.std() > 0
    assert said["again"] == said["vae"] != said["another seed"]
    assert np.shape(said["example"]) == (1, 1, 8, 8)


# ---- how runs end ----


FAIL = """
import sys
from pathlib import Path
from types import SimpleNamespace
from pofxy import tracking
from pofxy.workflow.job import job
from pofxy.run import Run
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
    process = run_python(FAIL, folder, cwd=folder, PYTHONPATH=SCRIPTS)
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


def test_a_run_that_is_whole_in_the_end_is_finished_and_has_no_reason(folder):
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
        say(folder, key)
    tracking.deliver(folder)
    found = [(run.info.run_name, run.info.status) for run in children(folder)]
    assert sorted(found) == [("lenet seed0", "KILLED"), ("lenet seed0", "RUNNING"), ("vae seed0", "RUNNING")]
    assert run_of(folder).info.status == "RUNNING"


def test_closing_a_study_leaves_no_run_running(folder):
    opened(folder, ["digits", "mnist"])
    for key in ("digits/lenet/seed0", "digits/removed_from_the_config/seed0", "mnist/lenet/seed0"):
        say(folder, key)
    tracker = tracking.Tracker(folder, "digits")
    tracker.finish()
    tracker.flush()
    assert tracking.deliver(folder) == 0
    assert [run.info.status for run in children(folder)] == ["KILLED", "KILLED"]
    assert [run.info.status for run in children(folder, "mnist")] == ["RUNNING"]
    assert run_of(folder, "digits").info.status == "FINISHED"


# ---- what MLflow does not take ----


def test_numbers_names_and_texts_that_mlflow_would_refuse(folder):
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


def test_what_is_refused_is_kept_aside_and_holds_up_nothing(folder, caplog):
    tracker = tracking.Tracker(folder, KEY)
    tracker.open({}, {})
    tracker.artifact(folder / "there_is_none.png", "samples")
    tracker.model(folder / "no_model")
    tracker.metrics({"test/accuracy": 0.5})
    tracker.finish()
    tracker.flush()
    (folder / "tracking/outbox/0-broken.json").write_text('{"key": ')
    say(folder, test=1)
    assert tracking.deliver(folder) == 0
    assert run_of(folder).info.status == "FINISHED"
    assert run_of(folder).data.metrics == {"test/accuracy": 0.5, "test": 1}
    assert {action["action"] for event in rejected(folder) for action in event.get("actions", [])} == {"artifact", "model"}
    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(errors) == 3
    assert any("MLflow refused artifact of digits/lenet/seed0" in line and "there_is_none.png" in line for line in errors)


# ---- databases and servers that come and go ----


def test_a_deleted_database_and_another_address_get_new_parents(folder, database, tmp_path, monkeypatch):
    say(folder)
    tracking.deliver(folder)
    first = tracking.run_ids(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shutil.copy(database, tmp_path / 'other.db')}")
    assert tracking.run_ids(folder) == {}
    say(folder, **{"test/accuracy": 0.5})  # of a run that this address has never heard of
    assert tracking.deliver(folder) == 0
    assert run_of(folder).data.metrics == {"test/accuracy": 0.5}
    assert run_of(folder).data.tags["mlflow.parentRunId"] == tracking.run_ids(folder)["digits"] != first["digits"]

    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert tracking.run_ids(folder) == first
    shutil.copy(database, folder / "fresh.db")
    os.replace(folder / "fresh.db", folder / "mlflow.db")
    say(folder, **{"test/accuracy": 0.25})
    # In a process of its own, as every run of the workflow is: MLflow keeps a database that is gone open.
    code = "import sys; from pofxy import tracking; tracking.deliver(sys.argv[1])"
    process = run_python(code, folder, cwd=folder, PYTHONPATH=SCRIPTS)
    assert process.returncode == 0, process.stderr
    assert tracking.run_ids(folder)["digits"] != first["digits"]
    assert not tracking.waiting(folder / "tracking")
    assert not rejected(folder)


def test_an_experiment_deleted_by_hand_comes_back(folder):
    say(folder)
    tracking.deliver(folder)
    client = client_of(folder)
    client.delete_experiment(client.get_experiment_by_name("digits").experiment_id)
    say(folder)
    assert tracking.deliver(folder) == 0
    assert not rejected(folder)
    assert run_of(folder).info.lifecycle_stage == "active"


def test_an_address_that_is_none_costs_no_job(folder, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:secret@127.0.0.1:1/none")
    say(folder)
    assert tracking.deliver(folder) == 1
    assert len(caplog.records) == 1
    kept = caplog.text + "".join(path.read_text() for path in folder.rglob("*.json"))
    assert "postgresql://127.0.0.1:1/none" in kept
    assert "secret" not in kept


class Server:
    """An MLflow server on a port of its own, to start and to kill."""

    def __init__(self, folder):
        self.folder, self.process = folder, None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"

    def start(self):
        store, place = f"sqlite:///{self.folder}/mlflow.db", self.folder / "artifacts"
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", self.port, "--workers", 1]
        command += ["--backend-store-uri", store, "--artifacts-destination", place]
        with (self.folder / "server.log").open("a") as log:
            self.process = subprocess.Popen([*map(str, command)], cwd=self.folder, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + 60
        while not self.answers():
            assert self.process.poll() is None, (self.folder / "server.log").read_text()
            assert time.monotonic() < end, (self.folder / "server.log").read_text()
            time.sleep(0.1)

    def answers(self):
        try:
            return urllib.request.urlopen(f"{self.uri}/health", timeout=1).status == 200
        except OSError:
            return False

    def kill(self):
        if self.process:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture
def server(tmp_path, database, monkeypatch):
    folder = tmp_path / "server"
    folder.mkdir()
    shutil.copy(database, folder)
    found = Server(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", found.uri)
    yield found
    found.kill()


def test_a_server_that_is_down_costs_nothing_and_loses_nothing(server, study, tmp_path, caplog, capfd):
    folder = opened(tmp_path / "results")
    tracker = tracking.Tracker(folder, KEY)
    tracker.open({"steps": 3}, {"commit": "c0ffee"})
    tracker.flush()
    for step in range(5):
        say(folder, **{"epoch/loss": step})
    tracking.deliver_if_due(folder)  # nothing was delivered yet
    tracking.deliver_if_due(folder)  # asked a moment ago
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
    say(folder, later=1)
    tracker.finish()
    tracker.flush()
    assert tracking.deliver(folder) == 2
    server.start()
    assert tracking.deliver(folder) == 0
    assert not rejected(folder)
    (child,) = children(folder)
    assert child.info.status == "FINISHED"
    assert child.data.metrics == {"epoch/loss": 4, "later": 1}
    assert len(history(folder, "later")) == 1
    assert capfd.readouterr().out == ""


def test_a_server_that_dies_amid_an_event_gets_the_rest_of_it_once(folder, monkeypatch):
    from pofxy.tracking import delivery

    tracker = tracking.Tracker(folder, KEY)
    tracker.open({}, {})
    tracker.metrics({"a": 1})
    tracker.finish()
    tracker.flush()

    with monkeypatch.context() as server:

        def die(*_, **__):
            server.setattr(delivery._Sender, "ask", die)
            raise ConnectionError("gone")

        server.setattr(delivery._Sender, "_finish", die)
        assert tracking.deliver(folder) == 1
    (path,) = tracking.waiting(folder / "tracking")
    assert [action["action"] for action in files.read_json(path)["actions"]] == ["finish"]
    assert tracking.deliver(folder) == 0
    (child,) = children(folder)
    assert child.info.status == "FINISHED"


WORK = """
import sys
from pofxy import tracking
results, worker, model = sys.argv[1:]
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
"""


def test_four_processes_that_deliver_at_once_lose_and_double_nothing(study, tmp_path):
    """On a database that is not there yet; and MLflow has nothing to say on the way."""
    folder = opened(tmp_path / "results")
    model = study.folder / "runs/digits/lenet/seed0/model"
    environment = os.environ | {"PYTHONPATH": SCRIPTS}
    commands = [[sys.executable, "-c", WORK, folder, str(number), model] for number in range(4)]
    heard = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    workers = [subprocess.Popen(command, env=environment, cwd=tmp_path, **heard) for command in commands]
    for worker in workers:
        noise, _ = worker.communicate(timeout=120)
        assert worker.returncode == 0, noise
        assert noise == b""
    assert not tracking.waiting(folder / "tracking")
    assert not rejected(folder)
    runs = children(folder)
    assert sorted(run.data.params["worker"] for run in runs) == ["0", "1", "2", "3"]
    assert {run.info.status for run in runs} == {"FINISHED"}
    for number in range(4):
        key = f"digits/model{number}/seed0"
        assert history(folder, "epoch/loss", key) == [(step, step) for step in range(50)]
        assert model_of(folder, key)[0].status == "READY"
    names = [experiment.name for experiment in client_of(folder).search_experiments()]
    assert sorted(names) == ["Default", "digits"]


def test_no_event_in_the_outbox_is_half_written(folder, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as process:
        process.setattr(files.os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            say(folder)
    assert not list((folder / "tracking").glob("outbox/*"))


def test_a_data_set_that_joins_the_study_later_gets_its_parent(folder):
    say(folder, "letters/lenet/seed0", loss=1.0)
    assert tracking.deliver(folder) == 0
    assert [run.info.run_name for run in children(folder, "letters")] == ["lenet seed0"]
    assert not rejected(folder)


def test_a_long_training_shows_its_curve_while_it_runs(folder, monkeypatch):
    monkeypatch.setattr(tracking, "DUE_SECONDS", 0)
    tracker = tracking.Tracker(folder, KEY)
    tracker.open({}, {})
    tracker.metrics({"epoch/loss": 0.5}, step=1)
    end = time.monotonic() + 60
    while KEY not in tracking.run_ids(folder) or not history(folder, "epoch/loss"):
        assert time.monotonic() < end, "nothing was sent"
        time.sleep(0.3)
    assert history(folder, "epoch/loss") == [(1, 0.5)] and run_of(folder).info.status == "RUNNING"
