"""The frame around every script of the workflow: its log, its time limit, and how it ends.

A job that fails prints one clear line on the terminal, leaves the traceback in its log and the cause in `failure.json` beside its
outputs, where the report takes it from, and exits with status 1.
"""

import atexit
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from pofxy.storage import files
from pofxy.workflow import fork_server
from pofxy.workflow.memory import peak_bytes

logger = logging.getLogger("pofxy")


class TimeLimitExceeded(RuntimeError):
    """The job took longer than its config allows."""


class ExitWithoutTeardown:
    """Ends the process without Python's teardown of all modules.

    The teardown frees only what the operating system frees anyway. Measured after a short fit, with torch 2.13, SciPy and
    scikit-learn loaded, mean of four runs: 0.63 core-seconds from the last line of the script to the end of the process, 0.02
    with this class.

    Threads are waited for, and functions that libraries register with `atexit` still run: the last registered one runs first, and
    the one that ends the process is registered when this module is imported, before any of these libraries.
    """

    def __init__(self):
        self.status: int | None = None
        atexit.register(self._end_process)

    def exit(self, status: int) -> NoReturn:
        """Like sys.exit."""
        self.status = status
        sys.exit(status)

    def _end_process(self) -> None:
        if self.status is None:  # the process ends in another way, by a signal for instance
            return
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(self.status)


_process = ExitWithoutTeardown()


@contextmanager
def job(snakemake, stage: str) -> Iterator[None]:
    """Runs the work of one script, and ends its process. Where there is a fork server, a fork of it runs the script.

    Args:
        snakemake: the object that Snakemake gives to a script.
        stage: name of the rule.
    """
    fork_server.run_in_fork()
    started = time.monotonic()
    folder = Path(snakemake.output[0]).parent
    log = Path(snakemake.log[0])
    failure = folder / "failure.json"
    failure.unlink(missing_ok=True)
    _log_to(log)
    # Each signal ends the job as an exception, so that temporary files are removed on the way out.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(1))
    try:
        yield
    except Exception as error:
        status = "timeout" if isinstance(error, TimeLimitExceeded) else "failed"
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        logger.exception("%s %s", stage, status)
        files.write_json(failure, {"stage": stage, "status": status, "reason": reason, "log": str(log)})
        print(f"pofxy: {folder}: {stage} {status}: {reason} (log: {log})", file=sys.stderr)
        _end_tracked_run(snakemake, "FAILED", reason)
        _process.exit(1)
    except BaseException:  # SIGTERM or Ctrl-C: the job itself did not fail
        _end_tracked_run(snakemake, "KILLED", "interrupted")
        raise
    _write_cost(log.with_suffix(".tsv"), started)
    _process.exit(0)


def progress(line: str) -> None:
    """Writes a line to the log and, if it is a person's, to the terminal."""
    logger.info(line)
    if sys.stderr.isatty():
        print(line, file=sys.stderr)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises TimeLimitExceeded in the work that is not done after so many seconds; in C code, as soon as that returns."""
    signal.signal(signal.SIGALRM, lambda *_: _raise_time_limit(seconds))
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _log_to(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    root.addHandler(handler)
    logging.captureWarnings(True)


def _write_cost(path: Path, started: float) -> None:
    """Writes what the job cost, as Snakemake's `benchmark` would, which sees the script that waits and not the fork that works.

    Seconds, core-seconds, and the largest resident memory in MiB.
    """
    numbers = {"s": time.monotonic() - started, "cpu_time": time.process_time(), "max_rss": peak_bytes() / 2**20}
    files.write_csv(path, [{name: f"{number:.2f}" for name, number in numbers.items()}], numbers, delimiter="\t")


def _raise_time_limit(seconds: float) -> None:
    raise TimeLimitExceeded(f"not done after the time limit of {seconds:g} s")


def _end_tracked_run(snakemake, status: str, reason: str) -> None:
    """Ends the MLflow run of a job that belongs to one."""
    run = getattr(snakemake.params, "run", None)
    if run is not None:
        from pofxy.tracking import Tracker  # only a job that fails needs it

        tracker = Tracker(snakemake.config["results"], run.key)
        tracker.finish(status, reason)
        tracker.flush()
