"""Outliers

Test images against images that are not of this data at all: can a model's score tell them apart? AUROC: 1, always; 0.5 (white),
by chance; below that (orange), the score takes the outliers for the more ordinary ones. Likelihood asks which of the two is the
more probable; typicality how far its probability is from that of train images, in either direction; softmax how sure a classifier
is of its label; energy how large its scores are in all.

Below 0.5 in a column of likelihood is a known failure of densities of images: simple images are short in almost any code, however
strange they are (E. Nalisnick and others, 2019).
"""

import numpy as np
from markupsafe import Markup

from pofxy.report import chart
from pofxy.report.wording import breakable

ORDER = 47
CURVES = {
    "ood_likelihood": "likelihood",
    "ood_typicality": "typicality",
    "ood_softmax": "max softmax",
    "ood_energy": "energy",
}
FAILING = "ood_likelihood"
GOOD, BAD = chart.HEAT, chart.COLOURS["generative"]
CELL, HEAD = "padding:6px 5px;text-align:center", "padding:6px 5px;vertical-align:bottom;font-size:12px"
UPRIGHT = "writing-mode:vertical-rl;transform:rotate(180deg)"


def ood_detection(study):
    """A table and, where a density prefers the outliers, a sentence for each data set; None where no model was tested."""
    parts = []
    for dataset in study.datasets:
        found = {name: rows for name in CURVES if len(rows := chart.curve(study, dataset, name))}
        if found:
            parts.append(chart.heading(study, dataset) + chart.stack(_table(dataset, found), _words(found.get(FAILING))))
    return Markup("").join(parts) or None


def _table(dataset: str, found: dict) -> Markup:
    """Models by kinds of outliers and scores, the best mean on top."""
    families = {row.model: row.family for rows in found.values() for row in rows.itertuples()}
    wide = {"index": "model", "columns": "condition", "values": "value", "sort": False}
    tables = {name: rows.pivot_table(**wide) for name, rows in found.items()}
    means = {model: np.mean([t.loc[model].mean() for t in tables.values() if model in t.index]) for model in families}
    order = sorted(families, key=lambda model: (families[model] == "reference", -means[model]))
    group = Markup('<th scope="colgroup" colspan="{}">{}</th>')
    groups = Markup("").join(group.format(len(t.columns), CURVES[name]) for name, t in tables.items())
    # Upright, so that every column is as narrow as its numbers.
    head = Markup('<th scope="col" style="{}"><span style="{}">{}</span></th>')
    heads = Markup("").join(head.format(HEAD, UPRIGHT, kind) for t in tables.values() for kind in t.columns)
    line = Markup('<tr class="{}"><th scope="row" style="{}"><span class="family"></span>{}</th>{}</tr>')
    rows = []
    for model in order:
        values = [t.at[model, kind] if model in t.index else np.nan for t in tables.values() for kind in t.columns]
        rows.append(line.format(families[model], chart.TIGHT, breakable(model), Markup("").join(map(_cell, values))))
    return Markup(
        '<div class="scroll small" tabindex="0" role="region" aria-label="outliers on {}: AUROC"><table style="font-size:13px">'
        '<thead><tr class="groups"><th></th>{}</tr><tr><th scope="col" style="{}">Model</th>{}</tr></thead>'
        "<tbody>{}</tbody></table></div>"
    ).format(dataset, groups, chart.TIGHT, heads, Markup("").join(rows))


def _cell(value: float) -> Markup:
    if not np.isfinite(value):
        return Markup('<td class="missing" style="{}"><span class="hidden">not measured</span></td>').format(CELL)
    # Green above chance, orange below it; the darkest still bears dark letters.
    opacity = round(255 * 0.75 * min(abs(value - 0.5) * 2, 1))
    style = f"{CELL};background:{GOOD if value >= 0.5 else BAD}{opacity:02x}"
    return Markup('<td class="number" style="{}">{}</td>').format(style, f"{value:.2f}")


def _words(rows) -> Markup | None:
    """Which densities prefer which outliers, beyond the interval; None where no density was tested."""
    if rows is None:
        return None
    fooled = rows[(rows["high"].fillna(rows["value"]) < 0.5) & (rows["family"] != "reference")]
    if fooled.empty:
        return Markup("<p>No density takes a kind of outliers for more probable than test images.</p>")
    said = [f"{', '.join(found['model'])} ({kind})" for kind, found in fooled.groupby("condition", sort=False)]
    return Markup("<p>The known failure: the outliers are more probable than the test images to {}.</p>").format("; ".join(said))
