"""The frame around every script of the workflow: its log, its threads, its time limit, and how it fails.

A job that fails says one clear line on the terminal, leaves the traceback in its log and the cause in `failure.json` beside its
outputs, from where the report takes it, and exits with status 1.
"""

import atexit
import importlib
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from pofxy.storage import files

logger = logging.getLogger("pofxy")


class TimeLimitExceeded(RuntimeError):
    """The job took longer than its config allows."""


@contextmanager
def job(snakemake, stage: str) -> Iterator[None]:
    """Runs the work of one script, and ends its process.

    Args:
        snakemake: the object that Snakemake gives to a script.
        stage: the rule's verb.
    """
    folder = Path(snakemake.output[0]).parent
    failure = folder / "failure.json"
    failure.unlink(missing_ok=True)
    _log_to(Path(snakemake.log[0]))
    # Each ends the job as an exception, so that temporary files are removed on the way out.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(1))
    try:
        yield
    except Exception as error:
        status = "timeout" if isinstance(error, TimeLimitExceeded) else "failed"
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        logger.exception("%s %s", stage, status)
        files.write_json(failure, {"stage": stage, "status": status, "reason": reason, "log": str(snakemake.log[0])})
        print(f"pofxy: {folder}: {stage} {status}: {reason} (log: {snakemake.log[0]})", file=sys.stderr)
        _end_tracked_run(snakemake, "FAILED", reason)
        _leave(1)
    except BaseException:  # SIGTERM or Ctrl-C: no failure of the job's own
        _end_tracked_run(snakemake, "KILLED", "interrupted")
        raise
    _leave(0)


def progress(line: str) -> None:
    """A line for the log and, where a person is watching, for the terminal."""
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


def _leave(status: int) -> NoReturn:
    """Ends the process at once: taking torch down in order costs half a second of every job, and frees what is freed anyhow."""
    logging.shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _log_to(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    root.addHandler(handler)
    logging.captureWarnings(True)


def _raise_time_limit(seconds: float) -> None:
    raise TimeLimitExceeded(f"not done after the time limit of {seconds:g} s")


def _end_tracked_run(snakemake, status: str, reason: str) -> None:
    """Ends the MLflow run of a job that belongs to one."""
    run = getattr(snakemake.params, "run", None)
    if run is not None:
        # By name, which the source closure does not see: how events are sent is no part of what a job computes.
        tracking = importlib.import_module("pofxy.tracking")
        tracker = tracking.Tracker(snakemake.config["results"], run.key)
        tracker.finish(status, reason)
        tracker.flush()
