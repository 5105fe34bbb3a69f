"""How the workflow fails, is interrupted and goes on, and what the config sets: no finished work is lost."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import clean_environment
from smoke import JOB, RESULTS, models, rows

BROKEN = '''"""Broken: a model whose fit is given by the test.

Reference: none.
"""

import math
import time

import torch
from torch import nn

from pofxy.training.trainer import Objective


class {name}(nn.Module):
    def build(self, spec):
        self.weight = nn.Parameter(torch.zeros(1))

    def fit(self, data, trainer):
        self.build(data.spec)
        {work}

    def predict(self, x):
        return torch.zeros(len(x), dtype=torch.int64)
'''
BREAKS = {
    "raises": ("raise RuntimeError('no <b>luck</b>')", "failed", "train: RuntimeError: no <b>luck</b>"),
    "diverges": (
        "objective = Objective(lambda x, y: self.weight.sum() * math.nan, self.parameters(), 1.0)\n"
        "        trainer.run(self, data, [objective], steps=5, batch=9)",
        "failed",
        "train: Diverged: loss is nan in epoch 1 of 1",
    ),
    "stumbles": (
        "if len(data.x) < 200:\n            raise RuntimeError('too few')",
        "failed",
        "learn: RuntimeError: too few",
    ),
    "dawdles": ("time.sleep(600)", "timeout", "train: TimeLimitExceeded: not done after the time limit of 2 s"),
}


def test_a_failing_model_takes_only_its_own_row_with_it(project_copy):
    folder = project_copy.folder
    for name, (work, _, _) in BREAKS.items():
        path = folder / f"pofxy/models/discriminative/{name}.py"
        path.write_text(BROKEN.replace("{name}", name.title()).replace("{work}", work))
    (folder / "study.yaml").write_text(
        "study: broken\nresults: results/smoke\ndatasets: [digits]\n"
        "models: [logistic_regression, raises, diverges, stumbles, dawdles]\n"
        "settings:\n  dawdles: {time_limit: 2}\n"
    )
    study = ("--configfile", "study.yaml")
    process = project_copy.snakemake(*study, check=False)
    assert process.returncode != 0
    lines = [line for line in process.stdout.splitlines() if line.startswith("pofxy: ")]
    for name, (_, _, reason) in BREAKS.items():
        assert any(name in line and reason.partition(": ")[2] in line for line in lines), process.stdout
        log = folder / RESULTS / f"runs/digits/{name}/seed0/logs/{reason.partition(':')[0]}.log"
        assert "Traceback" in log.read_text()
    table = {row["model"]: row for row in rows(project_copy, "runs.csv")}
    assert table["logistic_regression"]["status"] == "ok"
    for name, (_, status, reason) in BREAKS.items():
        assert (table[name]["status"], table[name]["reason"]) == (status, reason)
    assert {row["model"] for row in rows(project_copy, "scores.csv")} == {"logistic_regression"}
    page = (folder / RESULTS / "report/index.html").read_text()
    assert "no &lt;b&gt;luck&lt;/b&gt;" in page and "<b>luck</b>" not in page
    assert "partial" in page.lower()

    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{(folder / RESULTS / 'mlflow.db').resolve()}")
    for name in table:
        assert client.get_run(table[name]["mlflow_run_id"]).info.status == (
            "FINISHED" if name == "logistic_regression" else "FAILED"
        )

    # After a correction only what failed runs again, and the report is complete.
    for name in BREAKS:
        path = folder / f"pofxy/models/discriminative/{name}.py"
        path.write_text(BROKEN.replace("{name}", name.title()).replace("{work}", "pass"))
    process = project_copy.snakemake(*study)
    assert models("train", process.stdout) == set(BREAKS)
    assert {row["status"] for row in rows(project_copy, "runs.csv")} == {"ok"}
    assert {row["model"] for row in rows(project_copy, "scores.csv")} == {"logistic_regression", *BREAKS}
    assert "partial" not in (folder / RESULTS / "report/index.html").read_text().lower()

    # When one fails again it has no scores: those of its earlier success are still on the disk, but are not of this run.
    path.write_text(BROKEN.replace("{name}", name.title()).replace("{work}", "raise RuntimeError('again')"))
    assert project_copy.snakemake(*study, check=False).returncode != 0
    table = {row["model"]: row for row in rows(project_copy, "runs.csv")}
    assert (table[name]["status"], table[name]["reason"]) == ("failed", "train: RuntimeError: again")
    assert not table[name]["predict_ms_per_image"]
    assert name not in {row["model"] for row in rows(project_copy, "scores.csv")}
    assert [row["status"] for row in table.values()].count("ok") == 4


def test_a_failure_that_is_not_corrected_is_tried_again_alone(project_copy):
    folder = project_copy.folder
    path = folder / "pofxy/models/discriminative/raises.py"
    path.write_text(BROKEN.replace("{name}", "Raises").replace("{work}", BREAKS["raises"][0]))
    (folder / "study.yaml").write_text(
        "study: broken\nresults: results/smoke\ndatasets: [digits]\nmodels: [logistic_regression, raises]\n"
    )
    for _ in range(2):
        process = project_copy.snakemake("--configfile", "study.yaml", check=False)
        assert process.returncode != 0
    assert models("train", process.stdout) == {"raises"}
    # Without that model nothing is to be trained, and the report is complete again.
    (folder / "study.yaml").write_text(
        "study: broken\nresults: results/smoke\ndatasets: [digits]\nmodels: [logistic_regression]\n"
    )
    process = project_copy.snakemake("--configfile", "study.yaml")
    assert not models("train", process.stdout)
    assert "partial" not in (folder / RESULTS / "report/index.html").read_text().lower()


def test_a_data_set_that_cannot_be_read_takes_its_runs_with_it_and_the_report_says_so(project_copy):
    folder = project_copy.folder
    (folder / "mine").mkdir()
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"):
        (folder / "mine" / name).write_bytes(b"no images")
    (folder / "study.yaml").write_text(
        "study: torn\nresults: results/smoke\ndatasets: [digits, 'idx:mine']\nmodels: [logistic_regression]\n"
    )
    process = project_copy.snakemake("--configfile", "study.yaml", check=False)
    assert process.returncode != 0
    assert "Traceback" not in process.stdout
    (line,) = [line for line in process.stdout.splitlines() if line.startswith("pofxy: results/smoke/data/mine")]
    assert "train-images-idx3-ubyte" in line
    table = {row["dataset"]: row for row in rows(project_copy, "runs.csv")}
    assert table["digits"]["status"] == "ok"
    assert table["mine"]["reason"].startswith("data set mine: preprocess: DatasetError: ")
    page = (folder / RESULTS / "report/index.html").read_text()
    assert "partial" in page.lower()
    assert "data set mine" in page


def test_a_wrong_config_ends_in_one_line_before_any_job(project_copy):
    (project_copy.folder / "study.yaml").write_text("study: wrong\ndatasets: [digits]\nmodels: [lenett]\n")
    process = project_copy.snakemake("--configfile", "study.yaml", check=False)
    assert process.returncode != 0
    assert "pofxy: models: unknown model 'lenett'; did you mean 'lenet'?" in process.stdout
    assert "Traceback" not in process.stdout and not (project_copy.folder / "results").exists()


LONG = """study: long
results: results/smoke
datasets: [digits]
models: [logistic_regression, lenet]
settings:
  lenet: {steps: STEPS}
"""


@pytest.mark.parametrize(("number", "steps"), [(signal.SIGINT, 100_000), (signal.SIGTERM, 9000)], ids=["Ctrl-C", "SIGTERM"])
def test_an_interrupted_run_goes_on_where_it_was(number, steps, project_copy):
    """Ctrl-C ends all processes at once; SIGTERM lets Snakemake finish the running jobs. No finished step is repeated."""
    study = project_copy.folder / "study.yaml"
    study.write_text(LONG.replace("STEPS", str(steps)))
    process = subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "study.yaml"],
        cwd=project_copy.folder,
        env=clean_environment(),
        text=True,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    runs = project_copy.folder / RESULTS / "runs/digits"
    quick = runs / "logistic_regression/seed0"
    slow = runs / "lenet/seed0"
    ended = [quick / f"logs/{rule}.tsv" for rule in ("evaluate", "learn")]
    wait_for(lambda: all(path.exists() for path in ended) and "epoch" in text_of(slow / "logs/train.log"))
    # Snakemake 9.27 handles SIGTERM under a lock that it may hold itself while one job ends and the next begins; then it hangs.
    # So the signal is sent when nothing but the training is running.
    time.sleep(2)
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    process.communicate(timeout=120)
    assert process.returncode != 0
    wait_for(lambda: not still_running(project_copy.folder))
    assert not (slow / "failure.json").exists()
    outputs = {path.name for path in slow.iterdir()}
    assert "scores.csv" not in outputs
    assert ("model" in outputs) == (number == signal.SIGTERM)

    if number == signal.SIGINT:
        study.write_text(LONG.replace("STEPS", "40"))
    process = project_copy.snakemake("--configfile", "study.yaml")
    assert models("train", process.stdout) == ({"lenet"} if number == signal.SIGINT else set())
    assert models("evaluate", process.stdout) == {"lenet"}
    assert {row["status"] for row in rows(project_copy, "runs.csv")} == {"ok"}


def still_running(folder):
    """Processes whose working directory is the study's."""
    processes = []
    for path in Path("/proc").glob("[0-9]*/cwd"):
        try:
            processes += [path] if path.readlink() == folder else []
        except OSError:
            continue
    return processes


def text_of(path):
    return path.read_text() if path.exists() else ""


def wait_for(ready, seconds=120):
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, f"not ready after {seconds} s"
        time.sleep(0.2)


def test_what_an_unreachable_server_did_not_take_is_sent_by_the_next_run(project_copy):
    """A training only gets a warning; a run that has nothing else to do sends the events that were kept."""
    (project_copy.folder / "study.yaml").write_text(
        "study: dead\nresults: results/smoke\ndatasets: [digits]\nmodels: [logistic_regression]\n"
    )
    study = ("--configfile", "study.yaml")
    tracking = project_copy.folder / RESULTS / "tracking"
    project_copy.snakemake(*study, MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert list((tracking / "outbox").glob("*.json"))
    assert [row["mlflow_run_id"] for row in rows(project_copy, "runs.csv")] == [""]

    process = project_copy.snakemake(*study)
    assert {rule for rule, _ in JOB.findall(process.stdout)} == {"deliver"}
    assert not list((tracking / "outbox").glob("*.json"))
    assert not (tracking / "rejected").exists()

    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{(project_copy.folder / RESULTS / 'mlflow.db').resolve()}")
    runs = client.search_runs([client.get_experiment_by_name("digits").experiment_id])
    assert {(run.info.run_name, run.info.status) for run in runs} == {
        ("dead", "FINISHED"),
        ("logistic_regression seed0", "FINISHED"),
    }
    assert "Nothing to be done" in project_copy.snakemake(*study).stdout


def test_threads_and_seeds_come_from_the_config(project_copy):
    """Two seeds of a model whose settings say two threads: torch uses two, and each seed has its own run."""
    path = project_copy.folder / "pofxy/models/discriminative/counts.py"
    path.write_text(BROKEN.replace("{name}", "Counts").replace("{work}", "self.weight.data.fill_(torch.get_num_threads())"))
    (project_copy.folder / "study.yaml").write_text(
        "study: threads\nresults: results/smoke\ndatasets: [digits]\nmodels: [counts, two]\nseeds: [0, 5]\n"
        "settings:\n  two: {of: counts, threads: 2}\n"
    )
    project_copy.snakemake("--configfile", "study.yaml")
    from safetensors.numpy import load_file

    for model, threads in (("counts", 1), ("two", 2)):
        for seed in (0, 5):
            folder = project_copy.folder / RESULTS / f"runs/digits/{model}/seed{seed}/model"
            assert [float(array[0]) for array in load_file(folder / "model.safetensors").values()] == [threads]
            assert json.loads((folder / "model.json").read_text())["of"] == "counts"
    assert len(rows(project_copy, "runs.csv")) == 4
