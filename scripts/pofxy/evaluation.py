"""Which metrics a model gets, and each value with its interval and its passport.

A metric is a pure function of arrays; its parameters name what it needs: a verb (`predict_proba`: what the model gives for the
test images), a fact of the test split (`y`), a derived quantity (`log_mass`, `sample_features`), or a probe (`corrupted`), which
puts the model through more than the images as they are. A model without the verb does not get the metric. A metric that gives one
value per image is averaged, and its interval comes from a bootstrap of the images; of any other the bootstrap gives the standard
error.
"""

import hashlib
import importlib
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from pofxy import catalog, cost, files, protocol, tables
from pofxy.pictures import save_grid, save_signed_grid
from pofxy.probes import Flags
from pofxy.run import Run

CONFIDENCE = 0.95
BOOTSTRAP_OF_MEANS = 1000
BOOTSTRAP_OF_STATISTICS = 100
DEQUANTISATIONS = 4
RECONSTRUCTIONS_SHOWN = 10
# Test images that a probe takes: the test split is in random order, so the first ones are a fair sample.
PROBED = 500


@dataclass(frozen=True)
class Outputs:
    """Where an evaluation goes: two tables, a folder of pictures, one of arrays, evaluate.json with its cost."""

    scores: str
    curves: str
    pictures: str
    predictions: str
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
    whose = {"dataset": run.dataset, "model": run.model, "family": run.family, "seed": run.seed}
    with cost.stopwatch() as took:
        rows = scores(evidence, run.verbs)
        points = curves(evidence, run.verbs)
        speed = cost.milliseconds_to_predict(evidence.model, evidence.images) if "predict" in run.verbs else {}
        learned = draw_pictures(evidence, Path(outputs.pictures))
        keep_predictions(evidence, run.verbs, Path(outputs.predictions))
    files.write_csv(outputs.scores, [whose | row for row in rows], tables.SCORES)
    files.write_csv(outputs.curves, [whose | row for row in points], tables.CURVES)
    files.write_json(outputs.cost, speed | {"evaluate_core_seconds": took["core_seconds"], "learned": learned})
    tracker.metrics({f"test/{row['metric']}": row["value"] for row in rows})
    tracker.metrics({f"cost/{name}": value for name, value in speed.items()})
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
        mean: of the train images, (...): what an imputing classifier sees of a pixel that is not known.

    Raises:
        ValueError: where the test split is of another shape than what the data set says of itself.
    """

    def __init__(self, model, x, y, spec, samples=None, judge=None, seed=0, mean=None):
        if tuple(x.shape[1:]) != spec.shape:
            raise ValueError(f"{spec.name}: test images are {tuple(x.shape[1:])}, and the models were fitted on {spec.shape}")
        self.model, self.images, self.labels, self.spec = model, x, y, spec
        self.samples, self.judge, self.seed, self.mean = samples, judge, seed, mean
        self._given: dict[str, np.ndarray] = {}
        self._flags: dict[str, Flags] = {}

    def get(self, name: str) -> np.ndarray:
        """What a metric's parameter names: one of catalog.FACTS, catalog.DERIVED, a probe (its flags) or a verb."""
        if name not in self._given:
            own = getattr(type(self), f"_{name}", None)
            if own:
                value = own(self)
            else:
                value = self.probe(name).right if name in catalog.probes() else protocol.apply(self.model, name, self.images)
            self._given[name] = value.numpy() if isinstance(value, torch.Tensor) else value
        return self._given[name]

    def probe(self, name: str) -> Flags:
        """What a probe found on the first images of the test split."""
        if name not in self._flags:
            entry = catalog.probes()[name]
            able = {
                "model": self.model,
                "x": self.images[:PROBED],
                "y": self.labels[:PROBED],
                "spec": self.spec,
                "mean": self.mean,
            }
            function = getattr(importlib.import_module(f"pofxy.probes.{name}"), entry.public)
            self._flags[name] = function(**{parameter: able[parameter] for parameter in entry.parameters})
        return self._flags[name]

    def suits(self, name: str) -> bool:
        """Whether what a metric's parameter names makes sense for this data set: a table has no grey levels and no corners."""
        if name in ("levels", "log_mass"):
            return self.spec.levels is not None
        probe = catalog.probes().get(name)
        return not (probe and probe.constants["IMAGES_ONLY"] and len(self.spec.shape) != 3)

    def estimator(self, name: str) -> str:
        """How a quantity was estimated: the part of the passport that differs between models. "" for plain outputs."""
        if name == "log_mass":
            if not hasattr(self.model, "log_prob"):
                return self.model.bound
            return "exact mass" if not self._is_density else "uniform-dequantised bound"
        if name in catalog.probes():
            conditions = self.probe(name).conditions
            return conditions[0] if len(conditions) == 1 else ""
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

    def _class_scores(self):
        """(N, K): the larger, the more the model believes in the class."""
        return self.get("predict_proba" if hasattr(self.model, "predict_proba") else "decision_function")

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
        if missing or not all(evidence.suits(parameter) for parameter in entry.parameters):
            continue
        metric = getattr(importlib.import_module(f"pofxy.metrics.{name}"), entry.public)
        arguments = {parameter: evidence.get(parameter) for parameter in entry.parameters}
        value, low, high = _with_interval(metric, arguments)
        low, high = max(low, entry.constants.get("LOWEST", -math.inf)), min(high, entry.constants.get("HIGHEST", math.inf))
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


def curves(evidence: Evidence, verbs: tuple[str, ...]) -> list[dict]:
    """A row for each place of each curve that the verbs allow: the accuracy there, as tables.CURVE names it."""
    rows = []
    for name, entry in catalog.probes().items():
        if not set(entry.constants["NEEDS"]) & set(verbs) or not evidence.suits(name):
            continue
        flags = evidence.probe(name)
        for c, condition in enumerate(flags.conditions):
            for p, place in enumerate(flags.places):
                right, n = int(flags.right[:, c, p].sum()), len(flags.right)
                low, high = wilson(right, n)
                place = {"curve": entry.constants["CURVE"], "condition": condition, "at": place, "draw": 0}
                value = {"value": right / n, "ci_low": low, "ci_high": high, "unit": "accuracy", "estimator": ""}
                rows.append(place | value | {"split": "test", "n": n})
    return rows


def wilson(right: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share, E. B. Wilson, JASA 1927: it holds near 0 and 1, too."""
    share, z = right / n, 1.96
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max(middle - half, 0.0), min(middle + half, 1.0)


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


def keep_predictions(evidence: Evidence, verbs: tuple[str, ...], folder: Path) -> None:
    """labels.npy (N,) and probabilities.npy (N, K) float32, as far as the model gives them: pairs are compared by them."""
    with files.atomic(folder) as temporary:
        temporary.mkdir(parents=True)
        if "predict" in verbs:
            np.save(temporary / "labels.npy", evidence.get("predict"))
        if "predict_proba" in verbs:
            np.save(temporary / "probabilities.npy", evidence.get("predict_proba").astype(np.float32))


def draw_pictures(evidence: Evidence, folder: Path) -> str:
    """Draws what the model lets one see: reconstructions.png, test images above their reconstructions, and learned.png.

    Returns:
        The caption of learned.png; "" where the model has no picture of what it learned, or the data set is a table.
    """
    model, images = evidence.model, len(evidence.spec.shape) == 3
    learned = None
    if images and hasattr(model, "picture"):
        with protocol.evaluation_mode(model):
            learned = model.picture(evidence.images[:PROBED], evidence.labels[:PROBED])
    with files.atomic(folder) as temporary:
        temporary.mkdir(parents=True)
        if hasattr(model, "reconstruct") and images:
            x = evidence.images[:RECONSTRUCTIONS_SHOWN]
            grid = torch.cat([x, protocol.apply(model, "reconstruct", x)])
            save_grid(temporary / "reconstructions.png", grid, columns=len(x))
        if learned is not None:
            save = save_signed_grid if learned.signed else save_grid
            save(temporary / "learned.png", learned.images.detach().cpu(), learned.columns, learned.side)
    return learned.caption if learned is not None else ""
