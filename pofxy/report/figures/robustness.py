"""Robustness to corruptions

Accuracy on corrupted test images, with the same corruptions for every model; severity 0 is the clean image. Each line is a model.
Two models are named and have a 95 % interval: the one that keeps the largest share of its clean accuracy, and the one that keeps
the smallest. The dotted line is chance level. The last panel is the mean of the others and has no interval.

The table has that share: the mean accuracy over the severities divided by the clean accuracy, the most robust model on top. A
model with a low clean accuracy has little to lose and may stand high: read the table together with its column of clean accuracy.
"""

import numpy as np
import pandas as pd
from markupsafe import Markup

from pofxy.report.charts.axes import axes, svg
from pofxy.report.charts.colors import MUTED, family_color
from pofxy.report.charts.curves import families_of, mean_curves
from pofxy.report.charts.heatmap import heatmap
from pofxy.report.charts.layout import BROAD, grid, stack
from pofxy.report.charts.line_labels import end_of, label_ends
from pofxy.report.study import Study

ORDER = 32
CLEAN = "clean accuracy"
MEAN = "mean of all"


def robustness(study: Study, dataset: str) -> Markup | None:
    """A panel per corruption and a table; None where no model was tested."""
    rows = mean_curves(study, dataset, "robustness")
    if not (rows["at"] > 0).any():
        return None
    rows = rows.assign(condition=rows["condition"].str.replace("_", " "))
    kept = _kept_shares(rows)
    lines = {str(name): tested for name, tested in rows.groupby("condition", sort=False) if name in kept}
    if MEAN in kept and kept[MEAN].notna().any():
        lines[MEAN] = _mean(rows[rows["model"].isin(kept.index[kept[MEAN].notna()])])
    classes = len(study.class_names(dataset))
    names = tuple({model for name in kept for model in _extremes(kept[name])})
    panels = [_panel(dataset, name, tested, _extremes(kept[name]), classes, names) for name, tested in lines.items()]
    title = "share of clean accuracy that is kept"
    table = heatmap(kept, families_of(rows), title, f"robustness on {dataset}", uncolored=(CLEAN,))
    return stack(grid(panels, BROAD), table)


def _kept_shares(rows: pd.DataFrame) -> pd.DataFrame:
    """Clean accuracy and the share of it that is kept: models x (clean, corruptions, their mean), the most robust first."""
    clean = rows[rows["at"] == 0].groupby("model", sort=False)["value"].mean()
    corrupted = rows[rows["at"] > 0].pivot_table(index="model", columns="condition", values="value", sort=False)
    kept = corrupted.div(clean.where(clean > 0), axis="index")
    if len(kept.columns) > 1:
        # The mean of a model that lacks a corruption cannot be compared.
        kept[MEAN] = kept.mean(axis="columns", skipna=False)
    kept = kept.sort_values(kept.columns[-1], ascending=False, kind="stable")
    kept.insert(0, CLEAN, clean)
    return kept


def _mean(rows: pd.DataFrame) -> pd.DataFrame:
    """The mean over the corruptions. It has no interval: the mean of the intervals is not one."""
    return rows.groupby(["model", "family", "at"], sort=False, as_index=False)["value"].mean().assign(low=np.nan, high=np.nan)


def _extremes(kept: pd.Series) -> set[str]:
    """The models that keep most and least."""
    return {str(kept.idxmax()), str(kept.idxmin())} if kept.notna().any() else set()


def _panel(dataset: str, corruption: str, rows: pd.DataFrame, extremes: set[str], classes: int, names: tuple[str, ...]) -> Markup:
    """Lines of all models, `extremes` with their names; there is room for all of `names`."""
    with axes(4.0, 2.1) as (figure, plot):
        ends = []
        for key, line in rows.groupby(["model", "family"], sort=False):
            model, family = map(str, key)
            line = line.set_index("at").sort_index()
            color = family_color(family)
            if model in extremes:
                plot.plot(line["value"], color=color, linewidth=2, zorder=3)
                plot.fill_between(line.index, line["low"], line["high"], color=color, alpha=0.13, linewidth=0)
                ends.append(end_of(line["value"], model, family, bold=True))
            else:
                plot.plot(line["value"], color=color, linewidth=0.8, alpha=0.45)
        if classes:
            plot.axhline(1 / classes, color=MUTED, linewidth=0.8, linestyle=":")
        plot.set_ylim(-0.03, 1.03)
        plot.set_xlim(0, rows["at"].max())
        plot.set_xticks(np.sort(rows["at"].unique()))
        plot.set_title(corruption)
        plot.set_xlabel("severity")
        plot.set_ylabel("accuracy")
        label_ends(plot, ends, names)
        return svg(figure, f"accuracy under {corruption} by severity on {dataset}")
