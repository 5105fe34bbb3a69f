"""The server that forks for jobs: a fork does what its script would do, and nothing is left when the workflow ends."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# The workflow's process: it starts the server, prints the address, and ends when its standard input does.
WORKFLOW = """
import os, sys
from pofxy.workflow import fork_server
fork_server.start()
print(os.environ[fork_server.ADDRESS], flush=True)
sys.stdin.read()
"""
SCRIPT = """
from types import SimpleNamespace
from pofxy.workflow.job import job, time_limit
import os, sys, time
folder = sys.argv[1]
snakemake = SimpleNamespace(output=[folder + "/out"], log=[folder + "/logs/work.log"], params=SimpleNamespace())
with job(snakemake, "work"):
    {work}
"""


class Workflow:
    """A workflow's process with a fork server, and the scripts that it would start.

    Args:
        folder: for the scripts and what they write.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.environment = os.environ | {"PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKFLOW],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()

    def start(self, work: str, name: str = "job", **environment: str) -> subprocess.Popen:
        """Starts a script that does this work; its folder is `folder / name`."""
        script = self.folder / f"{name}.py"
        script.write_text(SCRIPT.replace("{work}", work))
        return subprocess.Popen(
            [sys.executable, script, self.folder / name],
            cwd=self.folder,
            env=self.environment | {"POFXY_FORK_SERVER": self.address, "OMP_NUM_THREADS": "1"} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, work: str, **environment: str) -> tuple[int, str, str]:
        """Exit status, standard output and standard error of a script."""
        process = self.start(work, **environment)
        output, errors = process.communicate(timeout=60)
        return process.returncode, output, errors

    def server(self) -> int:
        """The process id of the server."""
        _, output, _ = self.run("print(os.getppid())")
        return int(output)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A workflow that lives as long as this module's tests."""
    workflow = Workflow(tmp_path_factory.mktemp("shared"))
    yield workflow
    workflow.process.communicate(timeout=60)


@pytest.fixture
def own(tmp_path):
    """A workflow that the test ends."""
    workflow = Workflow(tmp_path)
    yield workflow
    workflow.process.kill()
    workflow.process.wait()


def wait_until(ready, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def started(workflow: Workflow, work: str, name: str = "job") -> tuple[subprocess.Popen, int]:
    """A script that has begun its work, and the process id of its fork."""
    process = workflow.start(f"print(os.getpid(), flush=True); {work}", name)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def test_a_fork_has_the_libraries_and_the_surroundings_of_its_script(shared):
    work = (
        "loaded = [name in sys.modules for name in ('torch', 'sklearn.ensemble', 'skops.io', 'pofxy.models.generative.vae')];"
        "import json; print(json.dumps([loaded, sys.argv, os.getcwd(), os.environ['MARK'], sys.path[0], __name__]))"
    )
    status, output, errors = shared.run(work, MARK="its own")
    assert (status, errors) == (0, "")
    folder = str(shared.folder)
    expected = [[True] * 4, [f"{folder}/job.py", f"{folder}/job"], folder, "its own", folder, "__main__"]
    assert json.loads(output) == expected


def test_no_thread_runs_before_a_fork_and_no_accelerator_is_touched(shared):
    threads = f"len(os.listdir('/proc/{shared.server()}/task'))"
    status, output, _ = shared.run(f"import torch; print({threads}, torch.cuda.is_initialized())")
    assert (status, output) == (0, "1 False\n")


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_fork_has_the_threads_of_its_job(shared, threads):
    work = (
        "import numpy, torch, threadpoolctl; pools = {pool['num_threads'] for pool in threadpoolctl.threadpool_info()};"
        "print(torch.get_num_threads(), *pools)"
    )
    assert shared.run(work, OMP_NUM_THREADS=threads)[1] == f"{threads} {threads}\n"


def test_a_fork_has_its_own_log_and_its_own_failure(shared):
    status, output, errors = shared.run("print('before'); raise ValueError('this cause')")
    assert (status, output) == (1, "before\n")
    assert "work failed: ValueError: this cause" in errors
    assert json.loads((shared.folder / "job/failure.json").read_text())["reason"] == "ValueError: this cause"
    assert "Traceback" in (shared.folder / "job/logs/work.log").read_text()
    assert shared.run("pass")[0] == 0
    assert not (shared.folder / "job/failure.json").exists()


@pytest.mark.parametrize(("work", "status"), [("sys.exit(7)", 7), ("os.kill(os.getpid(), 9)", -9), ("os._exit(3)", 3)])
def test_the_script_ends_as_its_fork_ends(shared, work, status):
    assert shared.run(work)[0] == status


def test_functions_registered_for_the_end_run_and_what_is_printed_arrives(shared):
    assert shared.run("import atexit; atexit.register(lambda: print('registered')); print('work')")[1] == "work\nregistered\n"


def test_a_fork_has_a_time_limit_and_costs_of_its_own(shared):
    status, _, errors = shared.run("\n    with time_limit(0.2): time.sleep(60)")
    assert status == 1
    assert "timeout: TimeLimitExceeded" in errors
    work = (
        "from pofxy.workflow import cost; import numpy; before = cost.peak_megabytes(); a = numpy.ones(25_000_000);"
        "print(before, cost.peak_megabytes(), time.process_time())"
    )
    before, after, seconds = map(float, shared.run(work)[1].split())
    assert 190 < after - before < 220  # 25 million numbers of 8 bytes
    assert 0 < seconds < 2  # not those of the server, which has imported everything


def test_forks_of_one_server_run_at_once_and_do_not_disturb_each_other(shared):
    slow, _ = started(shared, "time.sleep(1); print('slow')", "slow")
    assert shared.run("print('quick')")[1] == "quick\n"
    assert slow.poll() is None
    assert slow.communicate(timeout=20)[0] == "slow\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_script_ends_the_fork_which_tidies_up(shared, number):
    half_written = "with files.atomic(folder + '/half') as path: path.write_text('x'); time.sleep(60)"
    process = shared.start(f"print(os.getpid(), flush=True)\n    from pofxy.storage import files\n    {half_written}")
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    wait_until(lambda: any((shared.folder / "job").glob(".half*")))
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode == 1
    assert not is_alive(pid)
    assert [path.name for path in (shared.folder / "job").iterdir()] == ["logs"]


def test_kill_9_of_the_script_ends_the_fork(shared):
    process, pid = started(shared, "time.sleep(60)")
    process.kill()
    wait_until(lambda: not is_alive(pid))


def test_a_fork_that_does_not_heed_sigterm_is_killed(shared):
    process, pid = started(shared, "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)")
    time.sleep(0.3)
    process.kill()
    wait_until(lambda: not is_alive(pid))


def test_what_a_job_started_does_not_outlive_it(shared):
    work = "import subprocess; print(subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL).pid)"
    child = int(shared.run(work)[1])
    wait_until(lambda: not is_alive(child))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, None], ids=["kill -9", "SIGTERM", "its own end"])
def test_when_the_workflow_ends_so_do_all_forks_and_the_server(own, number):
    process, pid = started(own, "time.sleep(60)")
    server = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    if number is None:
        own.process.stdin.close()
    else:
        own.process.send_signal(number)
    wait_until(lambda: not is_alive(pid) and not is_alive(server))
    process.communicate(timeout=20)
    assert process.returncode != 0
    assert not Path(own.address).parent.exists()


def test_kill_9_of_the_server_ends_its_forks_and_later_jobs_work_by_themselves(own):
    process, pid = started(own, "time.sleep(60)")
    server = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(server, signal.SIGKILL)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "was killed" in errors
    assert not is_alive(pid)
    assert own.run("print('torch' in sys.modules)")[:2] == (0, "False\n")
    own.process.communicate(timeout=20)
    assert not Path(own.address).parent.exists()


def test_without_a_server_a_job_works_by_itself(shared):
    assert shared.run("print('torch' in sys.modules)", POFXY_FORK_SERVER="/nowhere")[:2] == (0, "False\n")


def test_the_user_can_forbid_the_server(monkeypatch):
    from pofxy.workflow import fork_server

    monkeypatch.setenv("POFXY_FORK", "0")
    monkeypatch.delenv(fork_server.ADDRESS, raising=False)
    fork_server.start()
    assert fork_server.ADDRESS not in os.environ
