"""Dot plots: a line per model with its value and its interval."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from markupsafe import Markup

from pofxy.report.charts.axes import axes, svg
from pofxy.report.charts.colors import INK, MUTED, family_color
from pofxy.report.charts.scales import log_axis, scale_for, symlog_axis
from pofxy.study import catalog

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# References at the ends of a scale.
ENDS_OF_SCALE = ("real_train", "independent_pixels", "oracle")
# The space between models and references, in lines.
GAP = 0.45
# The space above the first line and below the last one, in lines.
MARGIN = 0.6


@dataclass(frozen=True)
class Size:
    """The measures of a dot plot.

    Attributes:
        width: of the figure, in inches.
        height: of the figure without its lines, in inches.
        line: height of a line, in inches.
        font: size of names and numbers, in points.
        dot: diameter of a dot, in points.
        zoom: factor by which the page enlarges the figure.
    """

    width: float
    height: float
    line: float
    font: float
    dot: float
    zoom: float


# A chart that stands alone, and one that stands beside others.
WIDE = Size(width=4.7, height=0.7, line=0.19, font=8, dot=5, zoom=1.25)
SMALL = Size(width=3.0, height=0.62, line=0.16, font=7, dot=4, zoom=1)


def dot_plot(
    rows: pd.DataFrame,
    xlabel: str,
    label: str,
    title: str = "",
    order: list[str] | None = None,
    extra: pd.DataFrame | None = None,
    marked_value: float | None = None,
    dashed: tuple[str, ...] = ENDS_OF_SCALE,
    size: Size = WIDE,
) -> Markup | None:
    """A dot plot: one line per model with its value and its interval, the best on top; references stand below, in gray.

    From each reference a vertical line runs up through the models. The axis is logarithmic where a linear one would hide most of
    the values.

    Args:
        rows: of `Study.summary`, one data set and one unit, one row per model; `hollow` (bool) and `note` (text at the right)
            may be added.
        xlabel: what the axis measures, with its unit.
        label: what the chart shows, in words.
        title: above the chart.
        order: of the models, from the top; models that are not in it follow by their values.
        extra: more values of the same models: model, value, and mark ("train", or "estimator" for a smaller hollow dot).
        marked_value: a value that a vertical line marks, as the best possible.
        dashed: the references whose line is dashed; that of the others is faint.
        size: of the chart.

    Returns:
        The chart; None where no value is a finite number.
    """
    rows = rows[np.isfinite(rows["value"])]
    if rows.empty:
        return None
    rows = _sorted(rows, order or [])
    is_reference = rows["is_reference"].to_numpy()
    gap = GAP * bool(is_reference.any() and not is_reference.all())
    heights = -np.arange(len(rows)) - gap * is_reference
    if extra is None:
        extra = pd.DataFrame(columns=["model", "value", "mark"])
    extra = extra[np.isfinite(extra["value"].astype(float))]
    scale = scale_for(rows["value"]) if marked_value is None and _is_unbounded_cost(rows) else "linear"
    figure_height = size.height + size.line * len(rows) + 0.14 * title.count("\n")
    with axes(size.width, figure_height) as (figure, plot):
        if scale == "log":
            log_axis(plot.xaxis, [*rows["value"], *extra["value"]], decades=1.3)
        elif scale == "symlog":
            symlog_axis(plot.xaxis, rows)
        else:
            plot.locator_params(axis="x", nbins=5)
        if marked_value is not None:
            plot.axvline(marked_value, color=INK, linewidth=0.9)
        # An interval that reaches 0 has no end on a logarithmic axis.
        lowest = 0.8 * rows["value"].min() if scale == "log" else -np.inf
        for y, (_, row) in zip(heights, rows.iterrows(), strict=True):
            if row["is_reference"]:
                _draw_reference_line(plot, row, y, row["model"] in dashed)
            _draw_interval(plot, row, y, lowest)
            _draw_extra(plot, extra[extra["model"] == row["model"]], y, family_color(row["family"]))
            _draw_dot(plot, row, y, size)
        plot.set_yticks(heights, rows["model"], fontsize=size.font)
        plot.tick_params(axis="x", labelsize=size.font)
        for name, reference in zip(plot.get_yticklabels(), is_reference, strict=True):
            name.set_color(MUTED if reference else INK)
        plot.set_ylim(heights.min() - MARGIN, MARGIN)
        plot.spines["left"].set_visible(False)
        plot.set_xlabel(xlabel, fontsize=size.font)
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=8.5, fontweight="bold")
        return svg(figure, label, size.zoom)


def _sorted(rows: pd.DataFrame, order: list[str]) -> pd.DataFrame:
    """The rows from the top to the bottom, with a column `is_reference`."""
    rank = [order.index(model) if model in order else len(order) for model in rows["model"]]
    rows = rows.assign(is_reference=rows["family"] == "reference", rank=rank)
    return rows.sort_values(["is_reference", "rank", "loss"])


def _is_unbounded_cost(rows: pd.DataFrame) -> bool:
    """Whether lower is better and the metric has no upper limit: only such values span powers of ten."""
    if rows["higher_is_better"].iloc[0]:
        return False
    entry = catalog.metrics().get(rows["metric"].iloc[0])
    return entry is None or entry.highest is None


def _draw_reference_line(plot: "Axes", row: pd.Series, y: float, dashed: bool) -> None:
    style = {"color": "#cfd4dc", "linewidth": 0.7, "linestyle": (0, (1, 2))}
    if dashed:
        style = {"color": family_color(row["family"]), "linewidth": 0.9, "linestyle": (0, (3, 2))}
    plot.plot([row["value"]] * 2, [y, MARGIN], zorder=1, **style)


def _draw_interval(plot: "Axes", row: pd.Series, y: float, lowest: float) -> None:
    if not np.isfinite(row["low"]) or not np.isfinite(row["high"]):
        return
    ends = [max(row["low"], lowest), row["high"]]
    plot.plot(ends, [y, y], color=family_color(row["family"]), linewidth=2, alpha=0.4, solid_capstyle="round")


def _draw_extra(plot: "Axes", extra: pd.DataFrame, y: float, color: str) -> None:
    for value, mark in zip(extra["value"], extra["mark"], strict=True):
        marker, diameter = ("D", 4) if mark == "train" else ("o", 3.2)
        plot.plot(value, y, marker, color=color, markerfacecolor="white", markersize=diameter, markeredgewidth=0.9)


def _draw_dot(plot: "Axes", row: pd.Series, y: float, size: Size) -> None:
    color = family_color(row["family"])
    fill = "white" if row.get("hollow", False) else color
    plot.plot(row["value"], y, "o", color=color, markerfacecolor=fill, markersize=size.dot, markeredgewidth=1.2)
    if row.get("note", ""):
        plot.annotate(row["note"], (1.01, y), xycoords=("axes fraction", "data"), va="center", fontsize=7, color=MUTED)
