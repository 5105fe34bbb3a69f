"""The one process of a run of the workflow that sends to MLflow: it imports MLflow once.

It sends what waits in the outbox every few seconds, and at once where a job asks (`tracking.deliver`): a connection is a
question, answered with one line. It ends when the workflow ends (`companion`); what then still waits, the next run sends.
"""

import contextlib
import json
import logging
import select
import socket
import sys
import time
from pathlib import Path

from pofxy import tracking
from pofxy.workflow import companion

# Between two deliveries. Short, so that little is left to send when the report's job waits for the last one.
SECONDS = 10


def start(results: Path) -> None:
    """Starts the sender of a study for the jobs that this process starts."""
    companion.start(__name__, tracking.SENDER, str(results))


def serve(results: Path, listener: socket.socket, lifeline: int) -> None:
    """Sends until the workflow ends.

    Args:
        results: the study's results folder.
        listener: where jobs connect.
        lifeline: read end of a pipe; closed when the workflow has ended.
    """
    due = time.monotonic() + SECONDS
    while True:
        ready, _, _ = select.select([listener, lifeline], [], [], max(due - time.monotonic(), 0))
        if lifeline in ready:
            return
        if listener in ready:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):  # the job may have been killed meanwhile
                connection.sendall(json.dumps(tracking.send(results)).encode() + b"\n")
        elif tracking.waiting(results / "tracking"):
            tracking.send(results, wait=False)
        due = time.monotonic() + SECONDS


def main() -> None:
    """Serves; its log is tracking/sender.log in the results folder."""
    listener, lifeline, results = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]), Path(sys.argv[3])
    folder = results / "tracking"
    folder.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(filename=folder / "sender.log", level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        serve(results, listener, lifeline)
    finally:
        companion.remove_address(listener)


if __name__ == "__main__":
    main()
