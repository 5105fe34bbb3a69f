"""Small dot plots of several metrics, side by side."""

import textwrap

import numpy as np
import pandas as pd
from markupsafe import Markup

from pofxy.report.charts.dots import SMALL, dot_plot
from pofxy.report.charts.layout import grid
from pofxy.report.comparison import one_each
from pofxy.report.study import Study
from pofxy.report.wording import metric_name

# Characters in a line of a panel's title.
TITLE_WIDTH = 40


def metric_panels(study: Study, dataset: str, metrics: tuple[str, ...]) -> Markup | None:
    """A small dot plot for each of these metrics and its units that the data set has test scores of; None where it has none.

    All panels have the models in the order of the first metric, so that the eye can follow one across. An arrow after the name of
    a metric says where better is.
    """
    scores = study.summary[(study.summary["dataset"] == dataset) & (study.summary["split"] != "train")]
    panels = []
    order: list[str] = []
    for metric in metrics:
        for unit, rows in scores[scores["metric"] == metric].groupby("unit", sort=False):
            rows = one_each(rows)
            order += [model for model in rows.sort_values("loss", kind="stable")["model"] if model not in order]
            panels.append(_panel(rows, str(unit), metric_name(metric), dataset, order))
    return grid(panels)


def _panel(rows: pd.DataFrame, unit: str, name: str, dataset: str, order: list[str]) -> Markup | None:
    best = rows["best"].iloc[0]
    marked_value = best if np.isfinite(best) else None
    if marked_value is not None:
        direction = f"→ {best:g}"
    else:
        direction = "↑" if rows["higher_is_better"].iloc[0] else "↓"
    title = textwrap.fill(f"{name} {direction}", TITLE_WIDTH)
    return dot_plot(rows, unit, f"{name} on {dataset}", title, order, marked_value=marked_value, size=SMALL)
