"""The frame around a script: how it ends, what it leaves when it fails, its time limit and its threads."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pofxy.storage import files

ROOT = Path(__file__).parents[2]
SCRIPT = """
import atexit, sys, time
from types import SimpleNamespace
from pofxy.workflow.job import job, time_limit
folder = sys.argv[1]
snakemake = SimpleNamespace(output=[folder + "/out"], log=[folder + "/logs/work.log"], params=SimpleNamespace())
with job(snakemake, "work"), time_limit(0.3):
    print("started", flush=True)
    {work}
print("after the job")
"""


@pytest.fixture
def job_command(tmp_path):
    """The command line of a job that does this work; its folder is tmp_path."""

    def command(work):
        return [sys.executable, "-c", SCRIPT.replace("{work}", work), str(tmp_path)]

    return command


@pytest.fixture
def run_job(job_command):
    """Runs a job and gives its finished process."""

    def run(work):
        return subprocess.run(job_command(work), cwd=ROOT, capture_output=True, text=True, timeout=60)

    return run


@pytest.mark.parametrize(
    ("work", "status", "reason"),
    [
        ("raise ValueError('line one\\nline two')", "failed", "ValueError: line one line two"),
        ("time.sleep(60)", "timeout", "TimeLimitExceeded: not done after the time limit of 0.3 s"),
    ],
)
def test_a_job_fails_with_one_line_a_cause_and_a_traceback(work, status, reason, run_job, tmp_path):
    process = run_job(work)
    assert process.returncode == 1
    assert process.stderr.count("\n") == 1
    assert reason in process.stderr
    assert "logs/work.log" in process.stderr
    cause = json.loads((tmp_path / "failure.json").read_text())
    assert (cause["status"], cause["reason"], cause["stage"]) == (status, reason, "work")
    assert "Traceback" in (tmp_path / "logs/work.log").read_text()


def test_a_job_that_succeeds_removes_its_earlier_failure(run_job, tmp_path):
    run_job("raise ValueError('x')")
    assert (tmp_path / "failure.json").exists()
    process = run_job("pass")
    assert process.returncode == 0
    assert not (tmp_path / "failure.json").exists()


def test_a_job_writes_what_it_cost(run_job, tmp_path):
    process = run_job("block = bytearray(100 * 2**20); time.sleep(0.1)")
    assert process.returncode == 0, process.stderr
    (cost,) = files.read_csv(tmp_path / "logs/work.tsv", delimiter="\t")
    assert float(cost["s"]) >= 0.1
    assert 0 < float(cost["cpu_time"]) < 2
    assert 100 < float(cost["max_rss"]) < 200


@pytest.mark.parametrize(("work", "returncode"), [("pass", 0), ("raise ValueError('x')", 1)])
def test_the_end_of_a_job_skips_the_teardown_but_no_registered_function(work, returncode, run_job):
    """An object that still lives is not deleted; what is printed by a function of `atexit`, unflushed, arrives."""
    alive = "type('Alive', (), {'__del__': lambda self: print('torn down')})()"
    process = run_job(f"alive = sys.alive = {alive}; atexit.register(lambda: print('registered')); {work}")
    assert process.returncode == returncode
    assert process.stdout == "started\nregistered\n"


def test_a_terminated_job_leaves_no_half_written_file_and_no_failure(job_command, tmp_path):
    work = (
        "from pofxy.storage import files\n    with files.atomic(folder + '/half') as path: path.write_text('x'); time.sleep(0.25)"
    )
    process = subprocess.Popen(job_command(work), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "started\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 1
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []


@pytest.mark.parametrize("threads", ["1", "2"])
def test_torch_uses_the_threads_of_its_job(threads):
    code = "import torch; print(torch.get_num_threads())"
    environment = {"OMP_NUM_THREADS": threads, "PATH": ""}
    process = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert process.stdout.strip() == threads, process.stderr
