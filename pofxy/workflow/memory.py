"""The memory of this process. Standard library only."""

import resource
import sys
from pathlib import Path


def peak_bytes() -> int:
    """Largest resident memory of this process so far, in bytes.

    In a fork it counts from the fork on, with all that it shares with its parent. `getrusage` alone is not enough: under Linux, a
    process that was started by a large one begins with the peak of that one.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
