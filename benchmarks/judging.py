"""Judging samples by their features: pofxy's metrics on one thread against torch-fidelity and prdc with their defaults.

The same features, of 10,000 samples and as many test images. pofxy: both Fréchet distances, the kernel distance and its error,
precision, recall, density, coverage. torch-fidelity: FID, KID and PRC; prdc: precision, recall, density and coverage once more.
A second figure has each quantity once: without the Fréchet distance at infinity here, and without PRC there.
"""

import json
import os
import statistics
import subprocess
import sys

from figure import Figure, ProbeResult

from project import Project

ROWS = 10_000
WIDTHS = (64, 512)
METRICS = ("frechet_distance", "frechet_distance_infinity", "kernel_distance", "precision", "recall", "density", "coverage")
# Of torch-fidelity's defaults, those that its functions of features ask for.
PARTS = ("kid_", "prc_", "rng_seed", "save_cpu_ram")


def measure(project: Project, rounds: int = 3) -> ProbeResult:
    """Each side in turn, in a process of its own; ratios are medians over the rounds."""
    figures = []
    lines = []
    raw = {}
    for width in WIDTHS:
        took = raw[width] = {"pofxy": [], "others": []}
        for _ in range(rounds):
            took["pofxy"].append(_in_own_process("pofxy", width, {"OMP_NUM_THREADS": "1"}))
            took["others"].append(_in_own_process("others", width, {}))
        figures += [
            Figure(f"{width}: pofxy, on the clock", statistics.median(one["seconds"] for one in took["pofxy"]), "s"),
            Figure(f"{width}: torch-fidelity and prdc", statistics.median(one["seconds"] for one in took["others"]), "s"),
            Figure(f"{width}: others / pofxy, on the clock", _ratio(took, "seconds"), at_least=2),
            Figure(f"{width}: the same, each quantity once", _ratio(took, "seconds_of_each_once")),
            Figure(f"{width}: others / pofxy, core-seconds", _ratio(took, "core_seconds"), at_least=2),
            Figure(f"{width}: others / pofxy, peak memory", _ratio(took, "peak_megabytes"), at_least=1),
        ]
        ours = took["pofxy"][0]["values"]
        theirs = took["others"][0]["values"]
        lines += [f"{width}: {name:<18}{ours[name]:>10.5f} here, {theirs[name]:.5f} there" for name in theirs if name in ours]
    title = f"Judging {ROWS:,} samples by features of {' and '.join(map(str, WIDTHS))} dimensions: medians of {rounds}"
    return ProbeResult(title, figures, lines, raw)


def _ratio(took: dict[str, list], quantity: str) -> float:
    return statistics.median(theirs[quantity] / ours[quantity] for ours, theirs in zip(took["pofxy"], took["others"]))


def _in_own_process(side: str, width: int, environment: dict[str, str]) -> dict:
    # One thread is part of a job of pofxy, and must not reach the others.
    kept = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    process = subprocess.run([sys.executable, __file__, side, str(width)], env=kept | environment, capture_output=True, text=True)
    if process.returncode:
        raise RuntimeError(process.stderr.strip().splitlines()[-1])
    return json.loads(process.stdout.splitlines()[-1])


def _pofxy():
    import importlib
    import inspect

    import numpy as np
    import torch

    from pofxy.evaluation.neighbors import balls
    from pofxy.workflow import cost

    functions = [getattr(importlib.import_module(f"pofxy.evaluation.metrics.{name}"), name) for name in METRICS]

    def judge(samples, test):
        counts = [part.numpy() for part in balls(torch.from_numpy(test), torch.from_numpy(samples))]
        given = dict(zip(("sample_test_balls", "test_sample_balls", "test_own_ball"), counts))
        given |= {"sample_features": samples, "test_features": test}
        found = {}
        twice = 0.0
        for function in functions:
            with cost.stopwatch() as took:
                value = function(*(given[name] for name in inspect.signature(function).parameters))
            found[function.__name__] = float(value[0] if isinstance(value, tuple) else np.mean(value))
            twice = took["seconds"] if function.__name__ == "frechet_distance_infinity" else twice
        return found, twice

    return judge


def _others():
    from pofxy.data.torchvision_compat import import_torchvision

    import_torchvision()  # torch-fidelity imports it
    import torch
    from prdc import compute_prdc
    from torch_fidelity.defaults import DEFAULTS
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torch_fidelity.metric_prc import prc_features_to_metric

    from pofxy.workflow import cost

    options = {name: value for name, value in DEFAULTS.items() if name.startswith(PARTS)} | {"verbose": False}

    def judge(samples, test):
        sides = torch.from_numpy(samples), torch.from_numpy(test)
        found = fid_statistics_to_metric(*map(fid_features_to_statistics, sides), False)
        found |= kid_features_to_metric(*sides, **options)
        with cost.stopwatch() as took:
            prc_features_to_metric(*sides, **options)
        shares = {name: float(share) for name, share in compute_prdc(test, samples, 5).items()}
        names = {"frechet_distance": "frechet_inception_distance", "kernel_distance": "kernel_inception_distance_mean"}
        return {name: float(found[other]) for name, other in names.items()} | shares, took["seconds"]

    return judge


def _run(judge, width: int) -> dict:
    """Seconds of the judging alone; the peak of memory is that of the whole process."""
    from pofxy.workflow import cost

    samples, test = _features(width)
    with cost.stopwatch() as took:
        values, twice = judge(samples, test)
    once = took["seconds"] - twice
    return {**took, "seconds_of_each_once": once, "peak_megabytes": cost.peak_megabytes(), "values": values}


def _features(width: int):
    """Made features, rectified and correlated as those of a net are; samples a little off."""
    import numpy as np

    rng = np.random.default_rng(0)
    mix = rng.normal(size=(width, width)) / width**0.5
    test, samples = (np.maximum(rng.normal(size=(ROWS, width)) @ mix + 0.5, 0).astype(np.float32) for _ in range(2))
    return 1.05 * samples + np.float32(0.02), test


if __name__ == "__main__":
    print(json.dumps(_run({"pofxy": _pofxy, "others": _others}[sys.argv[1]](), int(sys.argv[2]))))
