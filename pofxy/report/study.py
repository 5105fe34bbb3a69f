"""What a finished study left behind, as the report and its figures read it.

Runs may have failed and files may be missing: everything here gives what there is, and None or an empty table where there is
nothing.
"""

import base64
import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from pofxy.study import catalog

SCORE_TEXT = ["dataset", "model", "family", "metric", "unit", "estimator", "split"]
SCORE_NUMBERS = ["seed", "value", "ci_low", "ci_high", "n", "position"]
CURVE_TEXT = ["dataset", "model", "family", "curve", "condition", "unit", "estimator", "split"]
CURVE_NUMBERS = ["seed", "at", "draw", "value", "ci_low", "ci_high", "n"]
RUN_TEXT = ["dataset", "model", "family", "status", "reason", "capabilities", "mlflow_run_id"]
RUN_NUMBERS = [
    "seed",
    "parameters",
    "fit_seconds",
    "sample_seconds_per_1000",
    "predict_ms_per_image",
    "predict_ms_single",
    "peak_mb",
    "model_bytes",
]
# An estimator that only bounds the true value says so in its name.
BOUND = re.compile("bound|elbo|iwae", re.IGNORECASE)


@dataclass(frozen=True)
class Study:
    """The results of one study.

    Attributes:
        config: the study's config.
        results: its folder.
        scores: scores.csv, one row per score; text is never missing, numbers may be NaN; `higher_is_better` is bool.
        runs: runs.csv, one row per run.
        curves: curves.csv, one row per place on a curve.
    """

    config: dict
    results: Path
    scores: pd.DataFrame
    runs: pd.DataFrame
    curves: pd.DataFrame

    @classmethod
    def read(cls, results: Path | str, config: dict) -> "Study":
        """Reads the tables of `results`/report; a table that is missing is empty."""
        results = Path(results)
        scores = _table(results / "report/scores.csv", SCORE_TEXT, SCORE_NUMBERS, ["higher_is_better"])
        runs = _table(results / "report/runs.csv", RUN_TEXT, RUN_NUMBERS)
        scores["higher_is_better"] = scores["higher_is_better"].str.lower().isin(["true", "1"])
        curves = _table(results / "report/curves.csv", CURVE_TEXT, CURVE_NUMBERS)
        return cls(config, results, scores, runs, curves)

    @cached_property
    def datasets(self) -> list[str]:
        """Names of the data sets, in the order of the runs."""
        return list(dict.fromkeys([*self.runs["dataset"], *self.scores["dataset"]]))

    def folder(self, dataset: str, model: str, seed: int) -> Path:
        """Where a run's files lie."""
        return self.results / "runs" / dataset / model / f"seed{int(seed)}"

    def history(self, dataset: str, model: str, seed: int) -> pd.DataFrame | None:
        """history.csv, one row per epoch; None for a run that has none, or no epoch in it."""
        try:
            history = pd.read_csv(self.folder(dataset, model, seed) / "history.csv")
        except (FileNotFoundError, pd.errors.EmptyDataError):
            return None
        return history if len(history) and "epoch" in history else None

    def train(self, dataset: str, model: str, seed: int) -> dict:
        """train.json; empty where the run has none."""
        return self.json(self.folder(dataset, model, seed) / "train.json")

    @cached_property
    def summary(self) -> pd.DataFrame:
        """Scores over the seeds: one row per data set, model, metric, unit, split and estimator.

        Columns: those, family, higher_is_better, n, `value` (the mean), `seeds` (how many), `spread` (their standard deviation,
        NaN for one), `bound` (the true value may be better), `position` (0: as real train images, 1: as independent pixels),
        `low` and `high`: from the lowest to the highest end of the seeds' intervals, as the spread of a few seeds would not see
        the chance in the test split; `best`: the value that the metric is best at, NaN where the more (or less) the better;
        `loss`: what sorts every metric from best to worst, ascending.
        """
        one = ["dataset", "model", "family", "metric", "unit", "split", "estimator"]
        found = self.scores.groupby(one, sort=False, as_index=False).agg(
            higher_is_better=("higher_is_better", "first"),
            n=("n", "max"),
            value=("value", "mean"),
            low=("ci_low", "min"),
            high=("ci_high", "max"),
            seeds=("seed", "nunique"),
            spread=("value", "std"),
            position=("position", "mean"),
        )
        found["best"] = found["metric"].map(best_values()).astype(float)
        signed = np.where(found["higher_is_better"], -found["value"], found["value"])
        found["loss"] = np.where(found["best"].notna(), (found["value"] - found["best"]).abs(), signed)
        found["bound"] = found["estimator"].str.contains(BOUND)
        return found

    def costs(self, dataset: str) -> pd.DataFrame:
        """Means over the seeds that ended well, by model: the columns of runs.csv that are numbers, and `family`."""
        good = self.runs[(self.runs["dataset"] == dataset) & (self.runs["status"] == "ok")]
        means = good.groupby("model", sort=False)[RUN_NUMBERS[1:]].mean()
        return means.join(good.groupby("model")["family"].first())

    def predictions(self, dataset: str, model: str, seed: int) -> tuple[np.ndarray, np.ndarray | None] | None:
        """What a classifier says of the test split: labels (N,) and probabilities (N, K) or None; None where it said nothing."""
        labels, probabilities = (
            np.load(path) if (path := self.folder(dataset, model, seed) / f"predictions/{name}.npy").is_file() else None
            for name in ("labels", "probabilities")
        )
        return None if labels is None else (labels, probabilities)

    def classifiers(self, dataset: str) -> list[tuple[str, str, int]]:
        """(model, family, its first seed) of each model whose first seed ended well and classifies, in the order of the runs.

        None of them where the labels of the test split are gone.
        """
        if not (self.results / "data" / dataset / "test_y.npy").is_file():
            return []
        rows = self.runs[self.runs["dataset"] == dataset].drop_duplicates("model")
        return [
            (r.model, r.family, r.seed)
            for r in rows.itertuples()
            if r.status == "ok" and self.predictions(dataset, r.model, r.seed) is not None
        ]

    def first_seed(self, dataset: str, model: str) -> int:
        """The first seed of a model's runs, which pictures and predictions are shown of."""
        return int(self.runs[(self.runs["dataset"] == dataset) & (self.runs["model"] == model)]["seed"].iloc[0])

    def per_image(self, dataset: str, model: str, metric: str) -> np.ndarray | None:
        """The values (N,) whose mean is the score of a model's first seed, in the order of the test images; None if unknown."""
        if self.runs[(self.runs["dataset"] == dataset) & (self.runs["model"] == model)].empty:
            return None
        path = self.folder(dataset, model, self.first_seed(dataset, model)) / f"predictions/per_image/{metric}.npy"
        return np.load(path).astype(np.float64) if path.is_file() else None

    def truth(self, dataset: str) -> np.ndarray:
        """The labels of the test split, (N,)."""
        return np.load(self.results / "data" / dataset / "test_y.npy")

    def class_names(self, dataset: str) -> list[str]:
        """Names of the classes, in the order of the labels."""
        return self.json(self.results / "data" / dataset / "spec.json").get("class_names", [])

    def evaluation(self, dataset: str, model: str, seed: int) -> dict:
        """evaluate.json; empty where the run has none."""
        return self.json(self.folder(dataset, model, seed) / "evaluate.json")

    def pictured(self, dataset: str, name: str) -> list[tuple[str, str]]:
        """(model, family) of each model whose first seed left the picture `name`, in the order of the runs."""
        rows = self.runs[self.runs["dataset"] == dataset].drop_duplicates("model")
        return [(r.model, r.family) for r in rows.itertuples() if (self.folder(dataset, r.model, r.seed) / name).is_file()]

    def picture(self, dataset: str, model: str, name: str) -> str:
        """The picture `name` of a model's first seed, as a data URI."""
        return data_uri((self.folder(dataset, model, self.first_seed(dataset, model)) / name).read_bytes())

    def real_images(self, dataset: str, count: int) -> tuple[np.ndarray, np.ndarray] | None:
        """x (count, C, H, W) and y (count,) of the test split, the classes in turn; None for tables, or where there is none."""
        paths = [self.results / "data" / dataset / f"test_{name}.npy" for name in "xy"]
        if not all(path.is_file() for path in paths):
            return None
        # Memory-mapped: a page of pictures needs a few of them.
        x, y = (np.load(path, mmap_mode="r") for path in paths)
        if x.ndim != 4:
            return None
        y = np.asarray(y)
        turn = np.empty(len(y), dtype=int)  # how many of its class come before each image
        for label in np.unique(y):
            turn[y == label] = np.arange((y == label).sum())
        first = np.lexsort((y, turn))[:count]
        return np.asarray(x[first]), y[first]

    @staticmethod
    def json(path: Path) -> dict:
        """A JSON object; empty where there is no such file, or only a part of one."""
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return value if isinstance(value, dict) else {"value": value}


def best_values() -> dict[str, float]:
    """Of each metric that is best at one value, neither above nor below it: that value."""
    return {name: float(entry.constants["BEST"]) for name, entry in catalog.metrics().items() if "BEST" in entry.constants}


def data_uri(png: bytes) -> str:
    """A PNG as an address that holds the picture itself."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _table(path: Path, text: list[str], numbers: list[str], flags: list[str] = ()) -> pd.DataFrame:
    # As text first: a model that is called "nan" or "1e5" keeps its name.
    columns = [*text, *numbers, *flags]
    table = pd.read_csv(path, dtype=str, keep_default_na=False) if path.is_file() else pd.DataFrame(columns=columns, dtype=str)
    for name in columns:
        table[name] = table.get(name, pd.Series("", table.index))
    for name in numbers:
        table[name] = pd.to_numeric(table[name], errors="coerce")
    table["seed"] = table["seed"].fillna(0).astype(int)
    return table
