"""Metrics of samples by their features: pofxy's metrics on one thread, and torch-fidelity and prdc with their defaults.

All use the same features, of 10,000 samples and 10,000 test images. pofxy computes both Frechet distances, the kernel distance
and its standard error, precision, recall, density and coverage. torch-fidelity computes the Frechet inception distance (FID),
the kernel inception distance (KID), and precision and recall (PRC); prdc computes precision, recall, density and coverage once
more. A second ratio counts each quantity once: without the Frechet distance at infinity on one side, and without PRC on the
other.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable

from measurement import Measurement, Result

import project

ROWS = 10_000
WIDTHS = (64, 512)
METRICS = ("frechet_distance", "frechet_distance_infinity", "kernel_distance", "precision", "recall", "density", "coverage")
# Those of torch-fidelity's default options that its functions of features take.
OPTION_PREFIXES = ("kid_", "prc_", "rng_seed", "save_cpu_ram")


def measure(copy: project.Project, rounds: int = 3) -> Measurement:
    """Each side in turn, in a process of its own; ratios are medians over the rounds."""
    results = []
    lines = []
    raw = {}
    for width in WIDTHS:
        costs = {"pofxy": [], "others": []}
        for _ in range(rounds):
            costs["pofxy"].append(_in_own_process("pofxy", width, {"OMP_NUM_THREADS": "1"}))
            costs["others"].append(_in_own_process("others", width, {}))
        raw[width] = costs
        results += [
            Result(f"{width}: pofxy, elapsed", statistics.median(cost["seconds"] for cost in costs["pofxy"]), "s"),
            Result(f"{width}: torch-fidelity and prdc", statistics.median(cost["seconds"] for cost in costs["others"]), "s"),
            Result(f"{width}: others / pofxy, elapsed", _ratio(costs, "seconds"), at_least=2),
            Result(f"{width}: the same, each quantity once", _ratio(costs, "seconds_of_each_once")),
            Result(f"{width}: others / pofxy, core-seconds", _ratio(costs, "core_seconds"), at_least=2),
            Result(f"{width}: others / pofxy, peak memory", _ratio(costs, "peak_megabytes"), at_least=1),
        ]
        ours = costs["pofxy"][0]["values"]
        theirs = costs["others"][0]["values"]
        lines += [f"{width}: {name:<18}{ours[name]:>10.5f} ours, {theirs[name]:.5f} theirs" for name in theirs if name in ours]
    title = f"Metrics of {ROWS:,} samples by features of {' and '.join(map(str, WIDTHS))} dimensions: medians of {rounds}"
    return Measurement(title, results, lines, raw)


def _ratio(costs: dict[str, list], quantity: str) -> float:
    pairs = zip(costs["pofxy"], costs["others"])
    return statistics.median(theirs[quantity] / ours[quantity] for ours, theirs in pairs)


def _in_own_process(side: str, width: int, environment: dict[str, str]) -> dict:
    # A job of pofxy has one thread; this must not limit the others.
    inherited = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    command = [sys.executable, __file__, side, str(width)]
    process = subprocess.run(command, env=inherited | environment, capture_output=True, text=True)
    if process.returncode:
        raise RuntimeError(process.stderr.strip().splitlines()[-1])
    return json.loads(process.stdout.splitlines()[-1])


def _pofxy() -> Callable:
    """pofxy's metrics: (samples, test) -> values by name, and the seconds of repeated work.

    Repeated is the Frechet distance at infinity, which computes the Frechet distance again.
    """
    import importlib
    import inspect

    import numpy as np
    import torch

    from pofxy.evaluation.neighbors import balls
    from pofxy.workflow import cost

    functions = {name: getattr(importlib.import_module(f"pofxy.evaluation.metrics.{name}"), name) for name in METRICS}

    def compute(samples, test):
        counts = [part.numpy() for part in balls(torch.from_numpy(test), torch.from_numpy(samples))]
        quantities = dict(zip(("sample_test_balls", "test_sample_balls", "test_own_ball"), counts))
        quantities |= {"sample_features": samples, "test_features": test}
        values = {}
        seconds_of_repeats = 0.0
        for name, function in functions.items():
            with cost.stopwatch() as spent:
                value = function(*(quantities[parameter] for parameter in inspect.signature(function).parameters))
            values[name] = float(value[0] if isinstance(value, tuple) else np.mean(value))
            if name == "frechet_distance_infinity":
                seconds_of_repeats = spent["seconds"]
        return values, seconds_of_repeats

    return compute


def _others() -> Callable:
    """The others' metrics: (samples, test) -> values by name, and the seconds of repeated work.

    Repeated are torch-fidelity's precision and recall, which prdc computes again.
    """
    from pofxy.data.torchvision_compat import import_torchvision

    import_torchvision()  # torch-fidelity imports it
    import torch
    from prdc import compute_prdc
    from torch_fidelity.defaults import DEFAULTS
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torch_fidelity.metric_prc import prc_features_to_metric

    from pofxy.workflow import cost

    options = {name: value for name, value in DEFAULTS.items() if name.startswith(OPTION_PREFIXES)} | {"verbose": False}

    def compute(samples, test):
        features = (torch.from_numpy(samples), torch.from_numpy(test))
        distances = fid_statistics_to_metric(*map(fid_features_to_statistics, features), False)
        distances |= kid_features_to_metric(*features, **options)
        with cost.stopwatch() as spent:
            prc_features_to_metric(*features, **options)
        shares = {name: float(share) for name, share in compute_prdc(test, samples, 5).items()}
        names = {"frechet_distance": "frechet_inception_distance", "kernel_distance": "kernel_inception_distance_mean"}
        return {name: float(distances[other]) for name, other in names.items()} | shares, spent["seconds"]

    return compute


def _run(compute: Callable, width: int) -> dict:
    """Cost and values of one side: the seconds of the metrics alone, and the peak memory of the whole process."""
    from pofxy.workflow import cost

    samples, test = _features(width)
    with cost.stopwatch() as spent:
        values, seconds_of_repeats = compute(samples, test)
    once = spent["seconds"] - seconds_of_repeats
    return {**spent, "seconds_of_each_once": once, "peak_megabytes": cost.peak_megabytes(), "values": values}


def _features(width: int):
    """Synthetic features of samples and test images, (ROWS, width) each: rectified and correlated as those of a net are."""
    import numpy as np

    rng = np.random.default_rng(0)
    mix = rng.normal(size=(width, width)) / width**0.5
    test, samples = (np.maximum(rng.normal(size=(ROWS, width)) @ mix + 0.5, 0).astype(np.float32) for _ in range(2))
    return 1.05 * samples + np.float32(0.02), test


if __name__ == "__main__":
    print(json.dumps(_run({"pofxy": _pofxy, "others": _others}[sys.argv[1]](), int(sys.argv[2]))))
