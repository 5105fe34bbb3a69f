"""The results of a finished study, as the report and its figures read them.

Runs may have failed and files may be missing. Everything here returns what there is, and None or an empty table where there is
nothing.
"""

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import pandas as pd

from pofxy.study import catalog, columns

# Columns of scores.csv and curves.csv that hold numbers.
NUMBERS = ("value", "ci_low", "ci_high", "n", "normalized_score", "at", "draw")
# Columns of scores.csv that hold True or False; an empty cell counts as False.
FLAGS = ("higher_is_better", "bound")
# Columns of runs.csv that hold numbers.
COSTS = (
    "parameters",
    "fit_seconds",
    "sample_seconds_per_1000",
    "predict_ms_per_image",
    "predict_ms_single",
    "peak_mb",
    "model_bytes",
)


# Columns of scores.csv that tell the scores of one model and seed apart.
SCORE_KEYS = ("dataset", "model", "metric", "unit", "split", "estimator")


class RunRow(Protocol):
    """A row of `Study.runs`, with the columns that are read one by one; `_asdict` gives all."""

    dataset: str
    model: str
    family: str
    seed: int
    status: str
    reason: str

    def _asdict(self) -> dict[str, Any]: ...


class SummaryRow(Protocol):
    """A row of `Study.summary`."""

    dataset: str
    model: str
    family: str
    metric: str
    unit: str
    split: str
    estimator: str
    higher_is_better: bool
    n: float
    value: float
    low: float
    high: float
    seeds: int
    spread: float
    bound: bool
    normalized_score: float
    best: float
    loss: float


@dataclass(frozen=True)
class Study:
    """The results of one study.

    Attributes:
        config: the study's config.
        results: its folder.
        scores: scores.csv, one row per score. Text is never missing, numbers may be NaN, FLAGS are bool.
        runs: runs.csv, one row per run.
        curves: curves.csv, one row per point of a curve.
    """

    config: dict
    results: Path
    scores: pd.DataFrame
    runs: pd.DataFrame
    curves: pd.DataFrame

    @classmethod
    def read(cls, results: Path | str, config: dict) -> "Study":
        """Reads the tables in `results`/report; a missing table is empty."""
        results = Path(results)
        return cls(
            config=config,
            results=results,
            scores=_read_table(results / "report/scores.csv", columns.SCORES),
            runs=_read_table(results / "report/runs.csv", columns.RUNS),
            curves=_read_table(results / "report/curves.csv", columns.CURVES),
        )

    def of_models(self, models: set[tuple[str, str]]) -> "Study":
        """The same study with the results of some models alone, each given as (data set, model)."""

        def chosen(table: pd.DataFrame) -> pd.DataFrame:
            return table[[pair in models for pair in zip(table["dataset"], table["model"])]]

        return replace(self, scores=chosen(self.scores), runs=chosen(self.runs), curves=chosen(self.curves))

    @cached_property
    def datasets(self) -> list[str]:
        """Names of the data sets, in the order of the runs."""
        return list(dict.fromkeys([*self.runs["dataset"], *self.scores["dataset"]]))

    def folder(self, dataset: str, model: str, seed: int) -> Path:
        """The folder of a run's files."""
        return self.results / "runs" / dataset / model / f"seed{int(seed)}"

    def history(self, dataset: str, model: str, seed: int) -> pd.DataFrame | None:
        """history.csv, one row per epoch; None where the run has no such file or no epoch in it."""
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

        Columns besides these:
            family, higher_is_better, n.
            value: the mean over the seeds.
            low, high: from the lowest to the highest end of the seeds' intervals. The spread of a few seeds would not contain
                the sampling error of the test split.
            seeds: the number of seeds.
            spread: the standard deviation over the seeds; NaN for one seed.
            bound: whether the value is only a bound, so that the true value may be better.
            normalized_score: 0 at the floor real_train, 1 at the ceiling; NaN where there is none.
            best: the value at which the metric is best; NaN where higher or lower is better without limit.
            loss: sorts every metric from best to worst, ascending.
        """
        keys = ["dataset", "model", "family", "metric", "unit", "split", "estimator"]
        summary = self.scores.groupby(keys, sort=False, as_index=False).agg(
            higher_is_better=("higher_is_better", "first"),
            n=("n", "max"),
            value=("value", "mean"),
            low=("ci_low", "min"),
            high=("ci_high", "max"),
            seeds=("seed", "nunique"),
            spread=("value", "std"),
            bound=("bound", "any"),
            normalized_score=("normalized_score", "mean"),
        )
        summary["best"] = summary["metric"].map(best_values()).astype(float)
        signed = np.where(summary["higher_is_better"], -summary["value"], summary["value"])
        summary["loss"] = np.where(summary["best"].notna(), (summary["value"] - summary["best"]).abs(), signed)
        return summary

    def test_summary(self, dataset: str) -> pd.DataFrame:
        """The rows of `summary` of one data set, without the train split."""
        return self.summary[(self.summary["dataset"] == dataset) & (self.summary["split"] != "train")]

    def costs(self, dataset: str) -> pd.DataFrame:
        """Means over the successful seeds, by model: the columns COSTS, and `family`."""
        successful = self.runs[(self.runs["dataset"] == dataset) & (self.runs["status"] == "ok")]
        means = successful.groupby("model", sort=False)[list(COSTS)].mean()
        return means.join(successful.groupby("model")["family"].first())

    def predictions(self, dataset: str, model: str, seed: int) -> tuple[np.ndarray, np.ndarray | None]:
        """The labels (N,) and probabilities (N, K) of the test split, of one of the `classifiers`.

        The probabilities are None where it gives none.

        Raises:
            FileNotFoundError: for a run that gave no labels.
        """
        folder = self.folder(dataset, model, seed) / "predictions"
        probabilities = folder / "probabilities.npy"
        return np.load(folder / "labels.npy"), np.load(probabilities) if probabilities.is_file() else None

    def classifiers(self, dataset: str) -> list[tuple[str, str, int]]:
        """(model, family, first seed) of each model that classifies and whose first seed succeeded, in the order of the runs.

        Empty where the labels of the test split are missing.
        """
        if not (self.results / "data" / dataset / "test_y.npy").is_file():
            return []
        rows = self.runs[self.runs["dataset"] == dataset].drop_duplicates("model")
        return [
            (row.model, row.family, row.seed)
            for row in run_rows(rows)
            if row.status == "ok" and (self.folder(dataset, row.model, row.seed) / "predictions/labels.npy").is_file()
        ]

    def first_seed(self, dataset: str, model: str) -> int:
        """The first seed of a model's runs: the one whose pictures and predictions are shown."""
        return self._first_seeds[dataset, model]

    def per_image(self, dataset: str, model: str, metric: str) -> np.ndarray | None:
        """The values (N,) whose mean is the score of a model's first seed, in the order of the test images; None if unknown."""
        key = (dataset, model, metric)
        if key not in self._values_per_image and (dataset, model) in self._first_seeds:
            path = self.folder(dataset, model, self.first_seed(dataset, model)) / f"predictions/per_image/{metric}.npy"
            self._values_per_image[key] = np.load(path).astype(np.float64) if path.is_file() else None
        return self._values_per_image.get(key)

    def score_of_first_seed(self, keys: tuple[str, ...]) -> tuple[float, float, float] | None:
        """n, ci_low and ci_high of a score of a model's first seed; None where there is none.

        Args:
            keys: values of the columns SCORE_KEYS.
        """
        return self._scores_of_first_seeds.get(keys)

    @cached_property
    def _values_per_image(self) -> dict[tuple[str, str, str], np.ndarray | None]:
        """What `per_image` has read."""
        return {}

    @cached_property
    def _first_seeds(self) -> dict[tuple[str, str], int]:
        first = self.runs.drop_duplicates(["dataset", "model"])
        return {(dataset, model): int(seed) for dataset, model, seed in zip(first["dataset"], first["model"], first["seed"])}

    @cached_property
    def _scores_of_first_seeds(self) -> dict[tuple[str, ...], tuple[float, float, float]]:
        scores = {}
        for *keys, seed, n, low, high in self.scores[[*SCORE_KEYS, "seed", "n", "ci_low", "ci_high"]].itertuples(index=False):
            if self._first_seeds.get((keys[0], keys[1])) == seed:
                scores.setdefault(tuple(keys), (n, low, high))
        return scores

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
        """(model, family) of each model whose first seed has the picture `name`, in the order of the runs."""
        rows = self.runs[self.runs["dataset"] == dataset].drop_duplicates("model")
        return [(row.model, row.family) for row in run_rows(rows) if (self.folder(dataset, row.model, row.seed) / name).is_file()]

    def picture(self, dataset: str, model: str, name: str) -> str:
        """The picture `name` of a model's first seed, as a data URI."""
        return data_uri((self.folder(dataset, model, self.first_seed(dataset, model)) / name).read_bytes())

    def real_images(self, dataset: str, count: int) -> tuple[np.ndarray, np.ndarray] | None:
        """x (count, C, H, W) and y (count,) of the test split, one image of each class in turn.

        None for tables, and where the files are missing.
        """
        paths = [self.results / "data" / dataset / f"test_{name}.npy" for name in "xy"]
        if not all(path.is_file() for path in paths):
            return None
        # Memory-mapped: a page of pictures needs only a few of them.
        x, y = (np.load(path, mmap_mode="r") for path in paths)
        if x.ndim != 4:
            return None
        y = np.asarray(y)
        # How many images of its own class precede each image.
        predecessors = np.empty(len(y), dtype=int)
        for label in np.unique(y):
            predecessors[y == label] = np.arange((y == label).sum())
        first = np.lexsort((y, predecessors))[:count]
        return np.asarray(x[first]), y[first]

    @staticmethod
    def json(path: Path) -> dict:
        """A JSON object; empty where the file is missing or incomplete."""
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return value if isinstance(value, dict) else {"value": value}


def run_rows(runs: pd.DataFrame) -> Iterable[RunRow]:
    """The rows of `Study.runs` or of a part of it."""
    return cast("Iterable[RunRow]", runs.itertuples())


def summary_rows(rows: pd.DataFrame) -> Iterable[SummaryRow]:
    """The rows of `Study.summary` or of a part of it."""
    return cast("Iterable[SummaryRow]", rows.itertuples())


def best_values() -> dict[str, float]:
    """By metric, the value at which it is best, for metrics that are worse both above and below that value."""
    return {name: entry.best for name, entry in catalog.metrics().items() if entry.best is not None}


def data_uri(png: bytes) -> str:
    """A PNG image as a data URI."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _read_table(path: Path, names: Iterable[str]) -> pd.DataFrame:
    """A CSV file with the columns `names`; one that is missing in it is empty."""
    names = list(names)
    # As text first: a model that is called "nan" or "1e5" keeps its name.
    table = pd.read_csv(path, dtype=str, keep_default_na=False) if path.is_file() else pd.DataFrame(columns=names, dtype=str)
    for name in names:
        column = table.get(name, pd.Series("", table.index))
        if name in FLAGS:
            column = column.str.lower().isin(["true", "1"])
        elif name in NUMBERS or name in COSTS:
            column = pd.to_numeric(column, errors="coerce")
        elif name == "seed":
            column = pd.to_numeric(column, errors="coerce").fillna(0).astype(int)
        table[name] = column
    return table
