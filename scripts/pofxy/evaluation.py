"""Which metrics a model gets, and each value with its interval and its passport.

A metric is a pure function of arrays; its parameters name what it needs: a verb (`predict_proba`: what the model gives for the
test images), a fact of the test split (`y`), or a derived quantity (`log_mass`, `sample_features`). A model without the verb does
not get the metric. A metric that gives one value per image is averaged, and its interval comes from a bootstrap of the images; of
any other the bootstrap gives the standard error.
"""

import hashlib
import importlib
import math
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from pofxy import catalog, cost, files, protocol, tables
from pofxy.pictures import save_grid
from pofxy.run import Run

CONFIDENCE = 0.95
BOOTSTRAP_OF_MEANS = 1000
BOOTSTRAP_OF_STATISTICS = 100
DEQUANTISATIONS = 4
RECONSTRUCTIONS_SHOWN = 10


@dataclass(frozen=True)
class Outputs:
    """Where an evaluation goes: scores.csv, a folder of pictures, evaluate.json with its cost."""

    scores: str
    pictures: str
    cost: str


def evaluate(evidence: "Evidence", run: Run, outputs: Outputs, tracker) -> None:
    """Writes every score that the model's verbs allow, its pictures and its speed.

    Args:
        evidence: the model and what it is judged by.
        run: whose scores these are.
        outputs: written whole or not at all.
        tracker: hears of the scores and the pictures.
    """
    protocol.seeded(run.seed)
    with cost.stopwatch() as took:
        rows = scores(evidence, run.verbs)
        speed = milliseconds_per_image(evidence.model, evidence.images) if "predict" in run.verbs else None
        draw_pictures(evidence, Path(outputs.pictures))
    whose = {"dataset": run.dataset, "model": run.model, "family": run.family, "seed": run.seed}
    files.write_csv(outputs.scores, [whose | row for row in rows], tables.SCORES)
    files.write_json(outputs.cost, {"predict_ms_per_image": speed, "evaluate_core_seconds": took["core_seconds"]})
    tracker.metrics({f"test/{row['metric']}": row["value"] for row in rows})
    if speed is not None:
        tracker.metrics({"cost/predict_ms_per_image": speed})
    for picture in sorted(Path(outputs.pictures).glob("*.png")):
        tracker.artifact(picture, "pictures")


class Evidence:
    """All that a metric may ask for, computed once and only where one asks.

    Args:
        model: fitted.
        x, y: the test split, (N, ...) float32 and (N,) int64.
        spec: of the data set.
        samples: of the model, (n, ...), or None.
        judge: the fitted feature net, or None.
        seed: of the random subset of test images that samples are compared with.
    """

    def __init__(self, model, x, y, spec, samples=None, judge=None, seed=0):
        self.model, self.images, self.labels, self.spec = model, x, y, spec
        self.samples, self.judge, self.seed = samples, judge, seed
        self._given: dict[str, np.ndarray] = {}

    def get(self, name: str) -> np.ndarray:
        """What a metric's parameter names: one of catalog.FACTS, catalog.DERIVED or a verb."""
        if name not in self._given:
            own = getattr(type(self), f"_{name}", None)
            value = own(self) if own else protocol.apply(self.model, name, self.images)
            self._given[name] = value.numpy() if isinstance(value, torch.Tensor) else value
        return self._given[name]

    def estimator(self, name: str) -> str:
        """How a quantity was estimated: the part of the passport that differs between models. "" for plain outputs."""
        if name == "log_mass":
            if not hasattr(self.model, "log_prob"):
                return self.model.bound
            return "exact mass" if not self._is_density else "uniform-dequantised bound"
        return f"feature_net {self.judge_hash}" if name in ("sample_features", "test_features") else ""

    @cached_property
    def judge_hash(self) -> str:
        """The first 8 hexadecimal digits of the SHA-256 of the feature net's numbers."""
        state = self.judge.state_dict().values()
        return hashlib.sha256(b"".join(tensor.cpu().contiguous().numpy().tobytes() for tensor in state)).hexdigest()[:8]

    @property
    def _is_density(self) -> bool:
        return getattr(self.model, "measure", "mass") == "density"

    def _x(self):
        return self.images

    def _y(self):
        return self.labels

    def _dimensions(self):
        return math.prod(self.spec.shape)

    def _levels(self):
        return self.spec.levels

    def _log_mass(self):
        """log of the mass of each L-level image in nats, (N,): exact, or a lower bound."""
        if not hasattr(self.model, "log_prob"):
            return protocol.apply(self.model, "log_prob_bound", self.images)
        if not self._is_density:
            return protocol.apply(self.model, "log_prob", self.images)
        # Jensen: log of the mass of the bin >= mean over the bin of log(density x volume of the bin).
        volume = -math.log(self.spec.levels - 1) * self._dimensions()
        draws = [protocol.dequantise(self.images, self.spec.levels) for _ in range(DEQUANTISATIONS)]
        return torch.stack([protocol.apply(self.model, "log_prob", draw) for draw in draws]).mean(0) + volume

    def _sample_features(self):
        return protocol.apply(self.judge, "encode", self.samples)

    def _test_features(self):
        chosen = np.random.default_rng(self.seed).permutation(len(self.images))[: len(self.samples)]
        return protocol.apply(self.judge, "encode", self.images[np.sort(chosen)])


def scores(evidence: Evidence, verbs: tuple[str, ...]) -> list[dict]:
    """One row per metric that the verbs allow: metric, value, ci_low, ci_high, higher_is_better, unit, estimator, split, n.

    Raises:
        ValueError: where a metric's value is not finite; the message names it.
    """
    rows = []
    for name, missing in catalog.evaluations(verbs).items():
        entry = catalog.metrics()[name]
        if missing or (entry.parameters.keys() & {"levels", "log_mass"} and evidence.spec.levels is None):
            continue
        metric = getattr(importlib.import_module(f"pofxy.metrics.{name}"), entry.public)
        arguments = {parameter: evidence.get(parameter) for parameter in entry.parameters}
        value, low, high = _with_interval(metric, arguments)
        low = max(low, entry.constants.get("LOWEST", -math.inf))
        if not math.isfinite(value):
            raise ValueError(f"metric {name} is {value}")
        lengths = {len(argument) for argument in arguments.values() if isinstance(argument, np.ndarray)}
        rows.append(
            {
                "metric": name,
                "value": value,
                "ci_low": low,
                "ci_high": high,
                "higher_is_better": entry.constants["HIGHER_IS_BETTER"],
                "unit": entry.constants["UNIT"],
                "estimator": ", ".join(sorted({text for p in entry.parameters if (text := evidence.estimator(p))})),
                "split": "test",
                "n": min(lengths),
            }
        )
    return rows


def _with_interval(metric, arguments: dict) -> tuple[float, float, float]:
    rng = np.random.default_rng(0)
    found = metric(**arguments)
    if np.ndim(found) == 1:
        n = len(found)
        means = np.array([found[rng.integers(n, size=n)].mean() for _ in range(BOOTSTRAP_OF_MEANS)])
        low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        return float(found.mean()), float(low), float(high)
    # A resampled set has fewer distinct rows, which moves a distance up: the bootstrap gives the spread, not the centre.
    values = []
    for _ in range(BOOTSTRAP_OF_STATISTICS):
        rows: dict[bool, np.ndarray] = {}
        drawn = {}
        for name, argument in arguments.items():
            if isinstance(argument, np.ndarray):
                # Samples and test images are drawn apart; what belongs to one image stays together.
                index = rows.setdefault(name.startswith("sample_"), rng.integers(len(argument), size=len(argument)))
                argument = argument[index]
            drawn[name] = argument
        values.append(metric(**drawn))
    half = 1.96 * float(np.std(values, ddof=1))
    return float(found), float(found) - half, float(found) + half


def milliseconds_per_image(model, x, batch: int = 256, repeats: int = 5) -> float:
    """The median time of `predict` on one batch, per image, after a first call that is not counted."""
    part = x[:batch]
    protocol.apply(model, "predict", part, batch)
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        protocol.apply(model, "predict", part, batch)
        seconds.append(time.perf_counter() - started)
    return 1000 * float(np.median(seconds)) / len(part)


def draw_pictures(evidence: Evidence, folder: Path) -> None:
    """reconstructions.png where the model reconstructs: test images, and below them their reconstructions."""
    with files.atomic(folder) as temporary:
        temporary.mkdir(parents=True)
        if hasattr(evidence.model, "reconstruct") and len(evidence.spec.shape) == 3:
            x = evidence.images[:RECONSTRUCTIONS_SHOWN]
            grid = torch.cat([x, protocol.apply(evidence.model, "reconstruct", x)])
            save_grid(temporary / "reconstructions.png", grid, columns=len(x))
