"""The one process that sends to MLflow: jobs ask it, it sends by itself now and then, and it ends with the workflow."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from pofxy import tracking

ROOT = Path(__file__).parents[2]
KEY = "digits/lenet/seed0"
# The workflow's process: it starts the sender, prints its address and process id, and ends when its standard input does.
WORKFLOW = """
import os, sys
from pathlib import Path
from pofxy import tracking
from pofxy.workflow import sender
sender.start(Path(sys.argv[1]))
print(os.environ[tracking.SENDER], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def results(tmp_path, monkeypatch):
    """The results folder of a study that has been described, with one event in its outbox."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    config = {"study": "trial", "results": str(tmp_path / "results"), "datasets": ["digits"]}
    tracking.describe(config, ["digits"], {"commit": "c0ffee", "config_hash": "0"})
    write_event(tmp_path / "results", loss=1)
    return tmp_path / "results"


@pytest.fixture
def start(results, monkeypatch):
    """A function that starts a workflow with a sender, and tells this process the sender's address."""
    processes = []

    def start(**environment: str) -> subprocess.Popen:
        command = [sys.executable, "-c", WORKFLOW, results]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = subprocess.Popen(command, cwd=ROOT, env=os.environ | environment, text=True, **pipes)
        processes.append(process)
        monkeypatch.setenv(tracking.SENDER, process.stdout.readline().strip())
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def write_event(results: Path, **metrics: float) -> None:
    tracker = tracking.Tracker(results, KEY)
    tracker.metrics(metrics)
    tracker.flush()


def metrics_of(results: Path) -> dict[str, float]:
    client = MlflowClient(f"sqlite:///{results / 'mlflow.db'}")
    return client.get_run(tracking.run_ids(results)[KEY]).data.metrics


def wait_until(ready) -> None:
    end = time.monotonic() + 60
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_jobs_ask_and_import_no_mlflow_and_the_sender_ends_with_the_workflow(start, results):
    workflow = start()
    code = "import sys; from pofxy import tracking; print(tracking.deliver(sys.argv[1]), 'mlflow' in sys.modules)"
    job = [sys.executable, "-c", code, results]
    assert subprocess.run(job, cwd=ROOT, capture_output=True, text=True, check=True).stdout == "0 False\n"
    assert metrics_of(results) == {"loss": 1}
    # What no job asks for is sent all the same.
    write_event(results, later=2)
    wait_until(lambda: not tracking.waiting(results / "tracking"))
    assert metrics_of(results) == {"loss": 1, "later": 2}
    address = Path(os.environ[tracking.SENDER])
    workflow.kill()
    wait_until(lambda: not address.parent.exists())
    # A job that finds no sender sends by itself.
    write_event(results, last=3)
    assert tracking.deliver(results) == 0
    assert metrics_of(results)["last"] == 3


@pytest.mark.slow
def test_what_cannot_be_sent_is_a_warning_of_the_job_that_asked(start, results, caplog):
    start(MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert tracking.deliver(results) == 1
    (record,) = caplog.records
    assert (record.levelname, record.name) == ("WARNING", "pofxy.tracking")
    assert "MLflow at http://127.0.0.1:9 does not answer: 1 events are kept" in record.getMessage()


def test_a_job_leaves_what_is_due_to_the_sender(results, monkeypatch):
    monkeypatch.setenv(tracking.SENDER, "/nowhere")
    tracking.deliver_if_due(results)
    assert len(tracking.waiting(results / "tracking")) == 1
