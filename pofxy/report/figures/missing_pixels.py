"""Missing pixels

Test accuracy when a share of each image's pixels is missing, the same pixels for every model. Solid lines: the model marginalizes
the missing pixels exactly and classifies by p(y | known pixels). Dashed lines: the model has no such marginal, and the pixels of
the mean train image replace the missing ones (mean imputation). The dotted line is chance level. A bold line is the best at one
share at least.
"""

from typing import Any, cast

import pandas as pd
from markupsafe import Markup

from pofxy.report.charts.axes import axes, svg
from pofxy.report.charts.colors import MUTED, family_color
from pofxy.report.charts.curves import mean_curves
from pofxy.report.charts.heatmap import heatmap
from pofxy.report.charts.layout import folded, note, stack
from pofxy.report.charts.line_labels import end_of, label_ends
from pofxy.report.study import Study

ORDER = 34
EXACT = "exact marginal"
DASHES = (0, (4, 1.5))


def missing_pixels(study: Study, dataset: str) -> Markup | None:
    """A chart, which model does what, and a table; None where no model was tested."""
    rows = mean_curves(study, dataset, "missing_pixels")
    if rows.empty:
        return None
    keys = ["model", "condition", "family"]
    lines = rows.pivot_table(index=keys, columns="at", values="value", sort=False).sort_index(axis=1)
    return stack(_chart(dataset, lines, len(study.class_names(dataset))), _conditions(rows), _table(dataset, lines))


def _chart(dataset: str, lines: pd.DataFrame, classes: int) -> Markup:
    """Lines of accuracy; lines (model, condition and family; shares)."""
    with_missing = lines.loc[:, lines.columns.astype(float) > 0]
    best = set(with_missing.idxmax()) if len(with_missing.columns) else set()
    with axes(6.0, max(3.3, 0.8 + 0.13 * len(lines))) as (figure, plot):
        ends = []
        for key, line in lines.iterrows():
            model, condition, family = cast("tuple[str, str, str]", key)
            line = line.dropna()
            bold = key in best
            style: dict[str, Any] = {"linewidth": 2, "zorder": 3} if bold else {"linewidth": 0.9, "alpha": 0.6}
            plot.plot(line, color=family_color(family), linestyle="-" if condition == EXACT else DASHES, **style)
            ends.append(end_of(line, model, family, bold))
        if classes:
            plot.axhline(1 / classes, color=MUTED, linewidth=0.8, linestyle=":")
        plot.set_ylim(-0.02, 1.02)
        plot.set_xlim(0, float(lines.columns.max()) or 1)
        plot.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
        plot.set_xlabel("missing pixels")
        plot.set_ylabel("accuracy")
        label_ends(plot, ends)
        return svg(figure, f"accuracy by share of missing pixels on {dataset}", zoom=1.2)


def _conditions(rows: pd.DataFrame) -> Markup:
    """The models with an exact marginal, and those with imputation."""
    line = Markup("<strong>{}</strong> ({}): {}.")
    sentences = [
        line.format(str(condition).capitalize(), "solid" if condition == EXACT else "dashed", ", ".join(tested["model"].unique()))
        for condition, tested in sorted(rows.groupby("condition"), key=lambda pair: pair[0] != EXACT)
    ]
    return note(Markup("<br>").join(sentences))


def _table(dataset: str, lines: pd.DataFrame) -> Markup:
    """The accuracies as numbers, the best mean over the shares above 0 on top."""
    means = lines.loc[:, lines.columns.astype(float) > 0].mean(axis=1)
    lines = lines.loc[means.sort_values(ascending=False, kind="stable").index]
    families = dict(zip(lines.index.get_level_values("model"), lines.index.get_level_values("family"), strict=True))
    lines = lines.droplevel(["condition", "family"]).rename(columns=lambda share: f"{100 * share:.0f} %")
    table = heatmap(lines, families, "accuracy by share of missing pixels", f"accuracy with missing pixels on {dataset}")
    return folded("The same as numbers, the best mean on top", table)
