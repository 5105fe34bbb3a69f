"""What does quality cost? Fit time and model size

Seconds to fit, and megabytes of the saved model, against accuracy and Fréchet distance at infinity. The axes of cost are
logarithmic. The gray line joins the Pareto front: the models that no other model beats in both cost and quality. For a model off
the line, some model on it is both cheaper and better. The seconds are those of the machine named below.
"""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from markupsafe import Markup

from pofxy.report.charts.axes import axes, svg
from pofxy.report.charts.colors import FAINT, family_color
from pofxy.report.charts.layout import BROAD, grid
from pofxy.report.charts.scales import log_axis, scale_for, symlog_axis
from pofxy.report.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ORDER = 70
# Columns of runs.csv, each with the title of its axis and what one of its units is.
COSTS = {"fit_seconds": ("seconds to fit", 1), "model_bytes": ("megabytes of the model", 1e6)}
QUALITIES = {"accuracy": "accuracy", "frechet_distance_infinity": "Fréchet distance at infinity"}


def cost(study: Study, dataset: str) -> Markup | None:
    """A scatter plot for each cost and quality; None where nothing was scored."""
    return grid([_scatter(study, dataset, column, quality) for quality in QUALITIES for column in COSTS], BROAD)


def _scatter(study: Study, dataset: str, column: str, quality: str) -> Markup | None:
    title, one = COSTS[column]
    rows = _rows(study, dataset, column, quality)
    if len(rows) < 2:  # one model alone cannot be compared
        return None
    higher_is_better = rows["higher_is_better"].iloc[0]
    front = _pareto_front(rows, higher_is_better)
    with axes(3.6, 2.5) as (figure, plot):
        plot.step(front["cost"] / one, front["value"], where="post", color=FAINT, linewidth=1, zorder=1)
        plot.scatter(rows["cost"] / one, rows["value"], s=26, c=[family_color(family) for family in rows["family"]], zorder=2)
        log_axis(plot.xaxis, rows["cost"] / one)
        scale = "linear" if higher_is_better else scale_for(rows["value"])
        if scale == "log":
            log_axis(plot.yaxis, rows["value"])
        elif scale == "symlog":
            symlog_axis(plot.yaxis, rows)
        plot.margins(0.12)
        plot.set_xlabel(title)
        plot.set_title(f"{QUALITIES[quality]}, {'higher' if higher_is_better else 'lower'} is better")
        # The names of the front come first; a name that would cover another one is left to the table.
        points = [
            (price / one, value, model)
            for named in (front, rows.drop(front.index))
            for price, value, model in zip(named["cost"], named["value"], named["model"], strict=True)
        ]
        _label_points(plot, points)
        return svg(figure, f"{QUALITIES[quality]} against {title} on {dataset}")


def _rows(study: Study, dataset: str, column: str, quality: str) -> pd.DataFrame:
    """The scores of the models with a column `cost`, the cheapest first."""
    rows = study.summary
    rows = rows[(rows["dataset"] == dataset) & (rows["metric"] == quality) & (rows["family"] != "reference")]
    rows = rows.assign(cost=rows["model"].map(study.costs(dataset)[column]))
    rows = rows[np.isfinite(rows["value"]) & (rows["cost"] > 0)]
    higher_is_better = bool(rows["higher_is_better"].all())
    return rows.sort_values(["cost", "value"], ascending=[True, not higher_is_better])


def _pareto_front(rows: pd.DataFrame, higher_is_better: bool) -> pd.DataFrame:
    """The rows that are better than every cheaper one; rows ascend by their cost."""
    best = rows["value"].cummax() if higher_is_better else rows["value"].cummin()
    return rows[(rows["value"] == best) & ~best.duplicated()]


def _label_points(plot: "Axes", points: list[tuple[float, float, str]]) -> None:
    """Names beside points (x, y, name), where there is room for them."""
    plot.figure.canvas.draw()
    extent = plot.get_window_extent()
    middle = extent.x0 + extent.width / 2
    taken = []
    for x, y, name in points:
        is_right = plot.transData.transform((x, y))[0] > middle
        offset, side = ((3, 4), "right") if is_right else ((-3, 4), "left")
        text = plot.annotate(name, (x, y), offset, textcoords="offset points", fontsize=7, ha=side)
        box = text.get_window_extent()
        if any(box.overlaps(other) for other in taken):
            text.remove()
        else:
            taken.append(box)
