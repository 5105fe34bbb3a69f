"""Pairs of a generative classifier and its discriminative counterpart, and the comparison of their learning curves."""

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
        curves: accuracies (draws, sizes) by model, the generative model first.
        crossover: where the discriminative model overtakes the generative one.
    """

    curves: dict[str, pd.DataFrame]
    crossover: Crossover

    @property
    def verdict(self) -> str:
        """A sentence: the crossover with its interval, or which model is ahead where there is none."""
        draws = len(next(iter(self.curves.values())))
        return f"{describe(self.crossover, *self.curves)}; {draws} draw{'s' if draws > 1 else ''}."


def pairs(study: Study, dataset: str) -> list[Pair]:
    """Each generative model with a discriminative counterpart, where both have learning curves on common subsets."""
    rows = study.curves[(study.curves["dataset"] == dataset) & (study.curves["curve"] == "learning_curve")]
    known = catalog.models()
    settings = study.config.get("settings", {})
    found = []
    for model in rows["model"].unique():
        entry = known.get(settings.get(model, {}).get("of", model))
        counterpart = entry.tags.discriminative_counterpart if entry else ""
        if counterpart not in set(rows["model"]):
            continue
        wide = {name: _wide(rows, name) for name in (model, counterpart)}
        common = (wide[model] - wide[counterpart]).dropna(axis="columns", how="all").dropna()
        if common.size:
            curves = {name: values.loc[common.index, common.columns] for name, values in wide.items()}
            generative, discriminative = (values.to_numpy() for values in curves.values())
            sizes = common.columns.to_numpy()
            found.append(Pair(curves, crossover(generative, discriminative, sizes, np.random.default_rng(0))))
    return found


def whole(rows: pd.DataFrame) -> float | None:
    """The size of the whole train split: the largest size, where only the first draw has it; None elsewhere."""
    size = rows["at"].max()
    return size if (rows[rows["at"] == size]["draw"] == 0).all() else None


def _wide(rows: pd.DataFrame, model: str) -> pd.DataFrame:
    """Accuracies of a model, (draws, sizes); NaN where it was not fitted."""
    wide = rows[rows["model"] == model].pivot(index="draw", columns="at", values="value")
    size = whole(rows)
    if size in wide:
        # The whole train split is the same in every draw.
        wide[size] = wide[size].ffill()
    return wide
