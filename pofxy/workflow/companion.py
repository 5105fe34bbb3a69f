"""Processes that serve the jobs of one run of the workflow, and end when it ends, however it ends.

The workflow's process holds the write end of a pipe, the lifeline, and never writes to it. The kernel closes it when that process
ends, by itself, by an exception or by kill -9; the companion then finds its read end closed, and ends.
"""

import atexit
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

# A process with threads must not be forked: one thread for numerical libraries, which jobs change, and none in the background for
# the allocator that comes with pyarrow, which pandas imports. And memory that was freed is kept for the next tensor of a job:
# asking the kernel for it again and again cost nets with large activations 10 to 20 % of their time.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "MALLOC_TRIM_THRESHOLD_": "536870912",
    "MALLOC_MMAP_THRESHOLD_": "536870912",
}


def start(module: str, variable: str, *arguments: str) -> None:
    """Starts `python -m module listener lifeline arguments`, both file descriptors.

    The listener is a Unix socket in a folder that only this user can open. It takes connections before the companion has imported
    its libraries: a job that is early waits.

    Args:
        module: of this package, with a function `main`.
        variable: environment variable that tells the jobs the address of the socket.
        arguments: further arguments of the command line.
    """
    folder = tempfile.mkdtemp(prefix="pofxy-")
    address = os.path.join(folder, "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        try:
            listener.bind(address)
        except OSError:  # the temporary folder has a path of more than 100 characters: each job works by itself
            shutil.rmtree(folder)
            return
        listener.listen(1000)
        lifeline, _ = os.pipe()  # the other end stays open in this process, and in no process that it starts
        subprocess.Popen(
            [sys.executable, "-m", module, str(listener.fileno()), str(lifeline), *arguments],
            stdin=subprocess.DEVNULL,
            pass_fds=(listener.fileno(), lifeline),
            env=os.environ | ENVIRONMENT,
            start_new_session=True,  # Ctrl-C in a terminal is for the workflow and its jobs
        )
        os.close(lifeline)
    os.environ[variable] = address
    # The companion does so too; but it may have been killed.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)


def connect(variable: str) -> socket.socket | None:
    """A connection to the companion at the address in this environment variable; None where there is none (any more)."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(os.environ[variable])
    except (KeyError, OSError):
        connection.close()
        return None
    return connection


def remove_address(listener: socket.socket) -> None:
    """Removes the socket's file and its folder, at the end of a companion."""
    shutil.rmtree(Path(listener.getsockname()).parent, ignore_errors=True)
