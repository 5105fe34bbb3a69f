"""Python imports this module at its start where its folder is in PYTHONPATH. Each process then writes its CPU time when it ends.

Snakemake's own benchmark files are too coarse: they sample every half second, and many jobs take two seconds.
"""

import atexit
import os
import sys
import time
from typing import NoReturn


def _write_cpu_time() -> None:
    with open(os.path.join(os.environ["POFXY_CLOCK"], str(os.getpid())), "w") as file:
        file.write(f"{time.process_time()} {sys.argv[0]}")


def _exit(status: int, leave=os._exit) -> NoReturn:
    _write_cpu_time()
    leave(status)


if "POFXY_CLOCK" in os.environ:
    atexit.register(_write_cpu_time)
    os._exit = _exit  # jobs end by os._exit, which calls no function of atexit
