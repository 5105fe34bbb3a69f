"""A process that has imported the libraries once, and forks for each job.

Importing torch, SciPy, scikit-learn, pandas and skops takes four core-seconds; many jobs work for less than one. The workflow
starts this server for jobs on its own machine. The script of a job then only hands itself over (`run_in_fork`) and waits: a fork
of the server runs it, with the script's arguments, folder, environment, threads and standard streams, in a session of its own.

    script  ->  server    the three standard streams, the length of the request, and the request as JSON
    script  <-  server    a line when the fork has started, a line with its exit status when it has ended
    script  ->  server    the numbers of signals for the fork

A script whose connection ends was killed: its fork is terminated. When the workflow ends, so do all forks and the server
(`companion`). A job that finds no server does its work itself: on a cluster, in a debugger, or with POFXY_FORK=0.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import time
from dataclasses import dataclass
from typing import NoReturn

from pofxy.workflow import companion

ADDRESS = "POFXY_FORK_SERVER"
# Not imported before the fork: the report is one job, MLflow has a process of its own, Inception-v3 imports torchvision, which
# takes as long as all others together.
NOT_PRELOADED = ("pofxy.report", "pofxy.tracking", "pofxy.evaluation.inception")
# Imported by functions of this package, because it takes seconds and not every job needs it.
PRELOADED = ("skops.io", "matplotlib.pyplot")
# Bytes that hold the length of a request.
LENGTH = 8
# Seconds that a terminated fork has to remove its temporary files.
GRACE = 5.0


@dataclass(frozen=True)
class Request:
    """What a fork runs.

    Attributes:
        arguments: of the command line; the first is the script.
        folder: the working directory.
        environment: all environment variables.
    """

    arguments: list[str]
    folder: str
    environment: dict[str, str]


def start() -> None:
    """Starts the server for the jobs that this process starts, except where POFXY_FORK=0 forbids it."""
    # Elsewhere than on Linux, forking a process that has imported numerical libraries is not safe.
    if os.environ.get("POFXY_FORK") != "0" and sys.platform == "linux":
        companion.start(__name__, ADDRESS)


def run_in_fork() -> None:
    """Has this process's script run by the server, and ends as the fork ends. Returns where there is no server."""
    connection = companion.connect(ADDRESS)
    if connection is None:
        return
    with connection:
        environment = {name: value for name, value in os.environ.items() if name != ADDRESS}
        request = json.dumps({"arguments": sys.argv, "folder": os.getcwd(), "environment": environment}).encode()
        try:
            socket.send_fds(connection, [len(request).to_bytes(LENGTH)], [0, 1, 2])
            connection.sendall(request)
        except OSError:
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _: _send_signal(connection, number))
        answers = connection.makefile()
        if not (pid := answers.readline()):
            return  # the server ended before it forked
        status = answers.readline()
    if status:
        _end(int(status))
    with contextlib.suppress(ProcessLookupError):
        os.killpg(int(pid), signal.SIGKILL)
    sys.exit("pofxy: the process that runs the jobs was killed, and this job with it")


def _send_signal(connection: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # the server has ended; so does this process
        connection.send(bytes([number]))


def _end(status: int) -> NoReturn:
    """Ends as a process with this exit status ended; a negative one is a signal."""
    if status < 0:
        with contextlib.suppress(OSError):  # SIGKILL has no handler
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


class ForkServer:
    """Forks for each request, passes signals on and reports how forks end.

    Args:
        listener: where scripts connect.
        lifeline: read end of a pipe; closed when the workflow has ended.
    """

    def __init__(self, listener: socket.socket, lifeline: int):
        self.listener = listener
        self.lifeline = lifeline
        self.connections: dict[int, socket.socket] = {}  # of the forks that run, by process id
        self.deadlines: dict[int, float] = {}  # of those that were terminated
        # A fork that ends wakes the server up: the kernel's signal is written to this pipe.
        self.woken, waker = os.pipe()
        for end in (self.woken, waker):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker)
        self.selector = selectors.DefaultSelector()
        for source in (listener, lifeline, self.woken):
            self.selector.register(source, selectors.EVENT_READ)

    def serve(self) -> Request | None:
        """Serves until the workflow ends. Returns None in the server, and in each fork what it is to run."""
        while True:
            for key, _ in self.selector.select(1.0 if self.deadlines else None):
                if key.fileobj is self.listener:
                    request = self._accept()
                    if request is not None:
                        return request
                elif key.fileobj == self.lifeline:
                    self._terminate_all()
                    return None
                elif key.fileobj == self.woken:
                    os.read(self.woken, 4096)
                else:
                    self._pass_signal(key.data)
            self._report_ended()
            self._kill_overdue()

    def _accept(self) -> Request | None:
        """Forks for one script. Returns the request in the fork, None in the server."""
        connection, _ = self.listener.accept()
        try:
            length, streams, _, _ = socket.recv_fds(connection, LENGTH, 3)
            request = Request(**json.loads(connection.recv(int.from_bytes(length), socket.MSG_WAITALL)))
        except (OSError, ValueError):  # the script was killed meanwhile
            connection.close()
            return None
        pid = os.fork()
        if pid == 0:
            self._leave()
            connection.close()
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
                os.close(stream)
            return request
        for stream in streams:
            os.close(stream)
        self.connections[pid] = connection
        self.selector.register(connection, selectors.EVENT_READ, pid)
        with contextlib.suppress(OSError):
            connection.sendall(f"{pid}\n".encode())
        return None

    def _leave(self) -> None:
        """Makes a new fork a process like any other: it holds nothing of the server, and leads a session."""
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self.selector.close()
        self.listener.close()
        os.close(self.lifeline)
        for connection in self.connections.values():
            connection.close()

    def _pass_signal(self, pid: int) -> None:
        """Sends a fork the signal that its script got; the end of the connection means that the script was killed."""
        try:
            number = self.connections[pid].recv(1)
        except OSError:
            number = b""
        os.kill(pid, number[0] if number else signal.SIGTERM)
        if not number:
            self.selector.unregister(self.connections[pid])
            self.deadlines[pid] = time.monotonic() + GRACE

    def _report_ended(self) -> None:
        """Sends the exit status of each fork that has ended to its script."""
        for pid in list(self.connections):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if not ended:
                continue
            connection = self.connections.pop(pid)
            if self.deadlines.pop(pid, None) is None:
                self.selector.unregister(connection)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGTERM)  # what the job started and did not end
            with contextlib.suppress(OSError):
                connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
            connection.close()

    def _kill_overdue(self) -> None:
        for pid, deadline in self.deadlines.items():
            if time.monotonic() > deadline:
                os.killpg(pid, signal.SIGKILL)

    def _terminate_all(self) -> None:
        """Terminates all forks, and kills those that do not end within GRACE."""
        for pid in self.connections:
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        while self.connections and time.monotonic() < deadline:
            self._report_ended()
            time.sleep(0.05)
        for pid in self.connections:
            os.killpg(pid, signal.SIGKILL)


def preload() -> None:
    """Imports the modules of this package, and with them the libraries, and reads the catalog.

    A module that cannot be imported is left to the job that uses it, which then fails.
    """
    from pofxy.study import catalog

    files = [path.relative_to(catalog.PACKAGE.parent).with_suffix("") for path in sorted(catalog.PACKAGE.rglob("*.py"))]
    names = [name for name in (".".join(file.parts) for file in files) if not name.startswith(NOT_PRELOADED)]
    for name in (*names, *PRELOADED):
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    for entries in (catalog.models, catalog.metrics, catalog.quantities):
        with contextlib.suppress(ValueError):
            entries()
    # What is here already is not looked at again: a fork then writes to fewer pages, and copies fewer.
    gc.collect()
    gc.freeze()


def run(request: Request) -> None:
    """Runs the script of a request in this process, as `python script` would."""
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    sys.argv = request.arguments
    script = sys.argv[0]
    sys.path[0] = os.path.dirname(script)
    _use_threads(int(request.environment.get("OMP_NUM_THREADS", "1")))
    runpy.run_path(script, run_name="__main__")


def _use_threads(number: int) -> None:
    """The libraries have read OMP_NUM_THREADS already, in the server, where it is 1."""
    if number != 1:
        import threadpoolctl
        import torch

        torch.set_num_threads(number)
        threadpoolctl.threadpool_limits(number)


def main() -> None:
    """Serves; in a fork, runs one script."""
    # Before all libraries: what is registered first for the end of a process runs last.
    importlib.import_module("pofxy.workflow.job")
    listener = socket.socket(fileno=int(sys.argv[1]))
    preload()
    request = ForkServer(listener, lifeline=int(sys.argv[2])).serve()
    if request is None:
        companion.remove_address(listener)
        os._exit(0)
    run(request)


if __name__ == "__main__":
    main()
