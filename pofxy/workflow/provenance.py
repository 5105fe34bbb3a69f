"""Provenance of a result: commit, config, versions, machine. Standard library only."""

import hashlib
import json
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

LIBRARIES = ("snakemake", "torch", "scikit-learn", "numpy", "mlflow")


def provenance(config: dict) -> dict:
    """Provenance of a result that is made now, in this checkout, with this config.

    Returns:
        {"commit", "dirty", "config_hash", "versions", "machine"}; the commit is "" outside a git checkout, and "dirty" says
        whether tracked files differ from it.
    """
    return {
        "commit": _git("rev-parse", "HEAD"),
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "config_hash": config_hash(config),
        "versions": {"python": platform.python_version()} | {name: metadata.version(name) for name in LIBRARIES},
        "machine": {"system": platform.platform(), "processor": _processor(), "cores": os.cpu_count()},
    }


def config_hash(config: dict) -> str:
    """The first 12 hexadecimal digits of the SHA-256 of the config, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:12]


def _git(*arguments: str) -> str:
    try:
        result = subprocess.run(["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
