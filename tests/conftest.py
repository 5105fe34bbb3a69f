"""What tests share: a copy of the project to run studies in, a Slurm cluster of one node, and which tests are slow.

The modules beside this file are imported by tests: `page` (a parsed HTML page), `smoke` (what the smoke study writes), `contract`
and `made_study`. They are no fixtures: they hold classes and pure functions, which need no set-up and keep their types.
"""

import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pofxy.study import catalog

# Before the first array library is imported: one thread each, as in a job, because there are as many workers as cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parents[1]
# What a study needs; results and caches are not copied.
PARTS = ("Snakefile", "rules", "scripts", "pofxy", "config", "profiles", "report", "envs", "pyproject.toml", "requirements.lock")


@dataclass(frozen=True)
class Project:
    """A copy of the project in a folder of its own, to run and to edit."""

    folder: Path

    def snakemake(self, *arguments: object, check: bool = True, timeout: float = 600, **environment: str):
        """Runs Snakemake here, in a process of its own.

        Args:
            arguments: of the command line; `--cores 2` is added unless they name cores, jobs or an executor.
            check: whether the test fails if Snakemake does.
            timeout: in seconds.
            environment: variables to add.

        Returns:
            The finished process; its `stdout` contains stderr as well.
        """
        arguments = [str(argument) for argument in arguments]
        if not {"--cores", "--jobs", "--executor", "--workflow-profile"} & set(arguments):
            arguments += ["--cores", "2"]
        process = subprocess.run(
            [sys.executable, "-m", "snakemake", *arguments],
            cwd=self.folder,
            env=clean_environment() | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )
        assert not check or process.returncode == 0, process.stdout
        return process


def clean_environment() -> dict[str, str]:
    """The environment variables of this process, without those that change what a run does.

    This Python comes first in PATH, as in an active virtual environment.
    """
    strange = re.compile(r"PYTHONPATH|(MLFLOW|SLURM|SNAKEMAKE|PYTEST)_.*")
    kept = {name: value for name, value in os.environ.items() if not strange.fullmatch(name)}
    return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', os.defpath)}"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Adds the markers that follow from what a test takes: a copy of the project, a cluster, a model that is trained in steps."""
    trained_in_steps = {name for name, entry in catalog.models().items() if entry.tags.trained_in_steps}
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        model = item.callspec.params.get("name") if hasattr(item, "callspec") else None
        if "copy_project" in fixtures or (model in trained_in_steps and item.path.parent.name in ("models", "nets")):
            item.add_marker("slow")
        if "slurm" in fixtures:
            item.add_marker("slurm")


@pytest.fixture(scope="session")
def copy_project() -> Callable[[Path], Project]:
    """A function that copies the project into a folder, for fixtures of a wider scope than one test."""

    def copy(folder: Path) -> Project:
        folder.mkdir(parents=True, exist_ok=True)
        for part in PARTS:
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
            elif (ROOT / part).exists():
                shutil.copy2(ROOT / part, folder)
        return Project(folder)

    return copy


@pytest.fixture
def project_copy(copy_project, tmp_path) -> Project:
    """A fresh copy of the project for this test alone."""
    return copy_project(tmp_path / "project")


SLURM_CONF = """\
ClusterName=pofxy
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,bf_interval=1
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
MinJobAge=3600
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture(scope="session")
def slurm() -> Iterator[dict[str, str]]:
    """A Slurm cluster of this machine only, with a partition `main`: the environment variables by which its commands find it.

    It needs no root, systemd, cgroups or /etc/slurm: all its files are in one folder, and SLURM_CONF names its configuration.
    Snakemake's job step hides SLURM_CONF from srun; a wrapper of srun that sets it again comes first in PATH.
    """
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    missing = [name for name in ("munged", "slurmctld", "slurmd", "sbatch", "srun") if not shutil.which(name, path=path)]
    if missing:
        pytest.skip(f"no Slurm here: {', '.join(missing)} not installed (Debian: slurm-wlm and munge)")
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # a short path: the name of a socket has at most 107 bytes
    found = {"SLURM_CONF": f"{folder}/slurm.conf", "PATH": f"{folder}/bin{os.pathsep}{clean_environment()['PATH']}"}
    environment = clean_environment() | found | {"PATH": path}
    running: list[subprocess.Popen] = []

    def start(*command: str) -> None:
        log = (folder / f"{command[0]}.log").open("w")
        running.append(subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    try:
        _write_slurm_files(folder, srun=shutil.which("srun", path=path))
        munge = folder / "munge"
        files = [f"--{name}-file={munge}/{name}" for name in ("key", "pid", "log", "seed")]
        start("munged", "--foreground", "--force", f"--socket={munge}/socket", *files)
        _wait(lambda: (munge / "socket").exists(), folder, running)
        start("slurmctld", "-D")
        start("slurmd", "-D")
        _wait(lambda: _node_state(environment) == "idle", folder, running)
        yield found
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait(timeout=30)
        shutil.rmtree(folder)


def _write_slurm_files(folder: Path, srun: str) -> None:
    folder.chmod(0o755)  # munged refuses a socket in a folder that others cannot enter
    for name in ("bin", "munge", "state", "spool"):
        (folder / name).mkdir(mode=0o755)
    key = folder / "munge" / "key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    wrapper = folder / "bin" / "srun"
    wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {srun} "$@"\n')
    wrapper.chmod(0o755)
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        ports = first.getsockname()[1], second.getsockname()[1]
    text = SLURM_CONF.format(
        host=socket.gethostname().partition(".")[0],
        user=subprocess.check_output(["id", "--user", "--name"], text=True).strip(),
        folder=folder,
        ports=ports,
        cpus=2 * len(os.sched_getaffinity(0)),  # jobs wait for files and for each other about half of the time
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20 * 7 // 10,
    )
    (folder / "slurm.conf").write_text(text)


def _node_state(environment: dict[str, str]) -> str:
    command = ["sinfo", "--noheader", "--format=%T"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30).stdout.strip()


def _wait(ready: Callable[[], bool], folder: Path, running: list[subprocess.Popen], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end or any(process.poll() is not None for process in running):
            logs = "\n".join(f"{log.name}: {log.read_text()[-1000:]}" for log in sorted(folder.glob("*.log")))
            pytest.fail(f"Slurm is installed and does not start:\n{logs}")
        time.sleep(0.1)
