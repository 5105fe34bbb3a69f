"""Missing pixels

Accuracy on test when a share of each image's pixels is unknown; the same pixels for every model. A solid line integrates the
unknown pixels out of its density, which is exact: it goes by p(y | known pixels). A dashed line cannot, and is given the mean of
the train images in their place. The dotted line is guessing. A bold line is the best at one share at least.
"""

import pandas as pd
from markupsafe import Markup

from pofxy.report import chart

ORDER = 34
EXACT = "exact marginal"


def missing_pixels(study):
    """A chart, who does what, and a table for each data set; None where no model was tested."""
    parts = []
    for dataset in study.datasets:
        rows = chart.curve(study, dataset, "missing_pixels")
        if len(rows):
            stack = chart.stack(_chart(dataset, rows, len(study.class_names(dataset))), _words(rows), _table(dataset, rows))
            parts.append(chart.heading(study, dataset) + stack)
    return Markup("").join(parts) or None


def _lines(rows: pd.DataFrame) -> pd.DataFrame:
    """Accuracies, (model and condition, shares), and the family."""
    return rows.pivot_table(index=["model", "condition", "family"], columns="at", values="value", sort=False).sort_index(axis=1)


def _chart(dataset: str, rows: pd.DataFrame, classes: int) -> Markup:
    lines = _lines(rows)
    best = set(lines.loc[:, lines.columns > 0].idxmax()) if (lines.columns > 0).any() else set()
    with chart.axes(6.0, max(3.3, 0.8 + 0.13 * len(lines))) as (figure, plot):
        ends = []
        for key, line in lines.iterrows():
            (model, condition, family), line, bold = key, line.dropna(), key in best
            style = {"linewidth": 2, "zorder": 3} if bold else {"linewidth": 0.9, "alpha": 0.6}
            dashes = "-" if condition == EXACT else (0, (4, 1.5))
            plot.plot(line, color=chart.COLOURS.get(family, chart.MUTED), linestyle=dashes, **style)
            ends.append((line.index[-1], line.iloc[-1], model, family, bold))
        if classes:
            plot.axhline(1 / classes, color=chart.MUTED, linewidth=0.8, linestyle=":")
        plot.set_ylim(-0.02, 1.02)
        plot.set_xlim(0, lines.columns.max() or 1)
        plot.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
        plot.set_xlabel("pixels unknown")
        plot.set_ylabel("accuracy")
        chart.label_ends(plot, ends)
        return chart.svg(figure, f"accuracy by share of unknown pixels on {dataset}", zoom=1.2)


def _words(rows: pd.DataFrame) -> Markup:
    """Who integrates and who imputes."""
    line = Markup("<strong>{}</strong> ({}): {}.")
    said = [
        line.format(condition.capitalize(), "solid" if condition == EXACT else "dashed", ", ".join(found["model"].unique()))
        for condition, found in sorted(rows.groupby("condition"), key=lambda pair: pair[0] != EXACT)
    ]
    return Markup('<p class="note">{}</p>').format(Markup("<br>").join(said))


def _table(dataset: str, rows: pd.DataFrame) -> Markup:
    """The accuracies as numbers, the best mean over the shares above 0 on top."""
    lines = _lines(rows)
    order = lines.loc[:, lines.columns > 0].mean(axis=1).sort_values(ascending=False, kind="stable").index
    lines = lines.loc[order]
    families = dict(zip(lines.index.get_level_values("model"), lines.index.get_level_values("family"), strict=True))
    lines = lines.droplevel(["condition", "family"]).rename(columns=lambda share: f"{100 * share:.0f} %")
    table = chart.heatmap(lines, families, "accuracy by share of unknown pixels", f"accuracy with unknown pixels on {dataset}")
    return Markup("<details><summary>The same as numbers, the best mean on top</summary>{}</details>").format(table)
