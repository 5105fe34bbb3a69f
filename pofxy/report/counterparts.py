"""Pairs of a generative classifier and its discriminative partner, and what their learning curves say of each."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pofxy.report.crossover import Crossover, crossover, describe
from pofxy.report.study import Study
from pofxy.study import catalog


@dataclass(frozen=True)
class Pair:
    """Two models on the training subsets that both were fitted to.

    Attributes:
        curves: accuracies (draws, sizes) by model, the generative one first.
        crossover: where the discriminative one overtakes.
    """

    curves: dict[str, pd.DataFrame]
    crossover: Crossover

    @property
    def verdict(self) -> str:
        """A sentence: the crossover and its interval, or that there is none and who is ahead."""
        draws = len(next(iter(self.curves.values())))
        return f"{describe(self.crossover, *self.curves)}; {draws} draw{'s' if draws > 1 else ''}."


def pairs(study: Study, dataset: str) -> list[Pair]:
    """Each generative model whose file declares a partner, where both have learning curves on a subset in common."""
    rows = study.curves[(study.curves["dataset"] == dataset) & (study.curves["curve"] == "learning_curve")]
    known, settings, found = catalog.models(), study.config.get("settings", {}), []
    for model in rows["model"].unique():
        entry = known.get(settings.get(model, {}).get("of", model))
        if entry and entry.discriminative_counterpart in set(rows["model"]):
            wide = {name: _wide(rows, name) for name in (model, entry.discriminative_counterpart)}
            both = (wide[model] - wide[entry.discriminative_counterpart]).dropna(axis="columns", how="all").dropna()
            if both.size:
                curves = {name: values.loc[both.index, both.columns] for name, values in wide.items()}
                accuracies = (values.to_numpy() for values in curves.values())
                found.append(Pair(curves, crossover(*accuracies, both.columns.to_numpy(), np.random.default_rng(0))))
    return found


def whole(rows: pd.DataFrame) -> float | None:
    """The size that stands for the whole train split: the largest, which the first draw alone has."""
    size = rows["at"].max()
    return size if (rows[rows["at"] == size]["draw"] == 0).all() else None


def _wide(rows: pd.DataFrame, model: str) -> pd.DataFrame:
    """Accuracies of a model, (draws, sizes); NaN where it was not fitted."""
    wide, size = rows[rows["model"] == model].pivot(index="draw", columns="at", values="value"), whole(rows)
    if size in wide:
        wide[size] = wide[size].ffill()  # the whole split is the same in every draw
    return wide
