"""Robustness

Accuracy on test images that were spoilt, in the same way for every model; severity 0 is the image as it is. Each line is a model.
Named, with their 95 % intervals, are the model that keeps the largest share of its clean accuracy and the one that keeps the
smallest. The dotted line is guessing. The last panel is the mean of the others and has no interval.

The table gives that share: the mean over the severities, divided by clean accuracy, the most robust on top. A model that is poor
on clean images has little to lose and may stand high: read it beside the column of clean accuracy.
"""

import numpy as np
import pandas as pd
from markupsafe import Markup

from pofxy.report import chart

ORDER = 32
ALL = "all of them"


def robustness(study):
    """A panel for each corruption and a table, for each data set; None where no model was tested."""
    parts = []
    for dataset in study.datasets:
        rows = chart.curve(study, dataset, "robustness")
        if not (rows["at"] > 0).any():
            continue
        kept = _kept(rows)
        shown = [(name, found) for name, found in rows.groupby("condition", sort=False) if _name(name) in kept]
        if ALL in kept and kept[ALL].notna().any():
            shown.append((ALL, _mean(rows[rows["model"].isin(kept.index[kept[ALL].notna()])])))
        classes = len(study.class_names(dataset))
        room = tuple({model for name in kept for model in _extremes(kept[name])})
        panels = [_panel(dataset, _name(name), found, kept[_name(name)], classes, room) for name, found in shown]
        families = dict(zip(rows["model"], rows["family"], strict=True))
        table = chart.heatmap(
            kept, families, "share of clean accuracy that is kept", f"robustness on {dataset}", plain=("clean accuracy",)
        )
        grid = Markup('<div class="panels two">{}</div>').format(Markup("").join(panels))
        parts.append(chart.heading(study, dataset) + chart.stack(grid, table))
    return Markup("").join(parts) or None


def _name(condition: str) -> str:
    return condition.replace("_", " ")


def _kept(rows: pd.DataFrame) -> pd.DataFrame:
    """Clean accuracy, and the share of it that is kept: models x (clean, corruptions, all of them), the most robust first."""
    clean = rows[rows["at"] == 0].groupby("model", sort=False)["value"].mean()
    spoilt = rows[rows["at"] > 0].pivot_table(index="model", columns="condition", values="value", sort=False)
    kept = spoilt.div(clean.where(clean > 0), axis="index").rename(columns=_name)
    if len(kept.columns) > 1:
        # A model that lacks a corruption has no mean that compares.
        kept[ALL] = kept.mean(axis="columns", skipna=False)
    kept = kept.sort_values(kept.columns[-1], ascending=False, kind="stable")
    kept.insert(0, "clean accuracy", clean)
    return kept


def _mean(rows: pd.DataFrame) -> pd.DataFrame:
    """The mean over the corruptions; it has no interval, which the mean of their intervals is not."""
    return rows.groupby(["model", "family", "at"], sort=False, as_index=False)["value"].mean().assign(low=np.nan, high=np.nan)


def _extremes(kept: pd.Series) -> set[str]:
    """The models that keep most and least."""
    return {kept.idxmax(), kept.idxmin()} if kept.notna().any() else set()


def _panel(dataset: str, name: str, rows: pd.DataFrame, kept: pd.Series, classes: int, room: tuple[str, ...]) -> Markup:
    named = _extremes(kept)
    with chart.axes(4.0, 2.1) as (figure, plot):
        ends = []
        for (model, family), line in rows.groupby(["model", "family"], sort=False):
            line, colour, bold = line.sort_values("at"), chart.COLOURS.get(family, chart.MUTED), model in named
            style = {"linewidth": 2, "zorder": 3} if bold else {"linewidth": 0.8, "alpha": 0.45}
            plot.plot(line["at"], line["value"], color=colour, **style)
            if bold:
                plot.fill_between(line["at"], line["low"], line["high"], color=colour, alpha=0.13, linewidth=0)
                ends.append((line["at"].iloc[-1], line["value"].iloc[-1], model, family, True))
        if classes:
            plot.axhline(1 / classes, color=chart.MUTED, linewidth=0.8, linestyle=":")
        plot.set_ylim(-0.03, 1.03)
        plot.set_xlim(0, rows["at"].max())
        plot.set_xticks(np.sort(rows["at"].unique()))
        plot.set_title(name)
        plot.set_xlabel("severity")
        plot.set_ylabel("accuracy")
        chart.label_ends(plot, ends, room)
        return chart.svg(figure, f"accuracy under {name} by severity on {dataset}")
