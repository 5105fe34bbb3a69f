"""Out-of-distribution (OOD) detection

How well a model's score separates test images from images of another distribution, as the area under the receiver operating
characteristic (AUROC): 1 for perfect separation, 0.5 (white) for chance. Below 0.5 (orange), the score takes the OOD images for
more ordinary than the test images. Likelihood: the log-likelihood of an image. Typicality: its distance from the mean
log-likelihood of train images, in either direction. Max softmax: the confidence of a classifier in its label. Energy: the
log-sum-exp of a classifier's scores.

Values below 0.5 in a likelihood column are a known failure of densities of images: simple images have a high likelihood under
almost any density, however unlike the data they are (E. Nalisnick et al., "Do deep generative models know what they don't know?",
ICLR 2019).
"""

from typing import cast

import numpy as np
import pandas as pd
from markupsafe import Markup

from pofxy.report.charts.colors import FAMILY_COLORS, HEAT, shade
from pofxy.report.charts.curves import families_of, mean_curves
from pofxy.report.charts.layout import stack
from pofxy.report.charts.tables import TIGHT, model_row, scrolling, upright_header
from pofxy.report.study import Study

ORDER = 47
CURVES = {
    "ood_likelihood": "likelihood",
    "ood_typicality": "typicality",
    "ood_softmax": "max softmax",
    "ood_energy": "energy",
}
# The score with the known failure.
FAILING = "ood_likelihood"
CHANCE = 0.5
GOOD = HEAT
BAD = FAMILY_COLORS["generative"]
CELL = "padding:6px 5px;text-align:center"
HEAD = "padding:6px 5px;vertical-align:bottom;font-size:12px"


def ood_detection(study: Study, dataset: str) -> Markup | None:
    """A table and, where densities were tested, whether they prefer the OOD images; None where no model was tested."""
    curves = {curve: mean_curves(study, dataset, curve) for curve in CURVES}
    curves = {curve: rows for curve, rows in curves.items() if len(rows)}
    if not curves:
        return None
    return stack(_table(dataset, curves), _failures(curves[FAILING]) if FAILING in curves else None)


def _table(dataset: str, curves: dict[str, pd.DataFrame]) -> Markup:
    """AUROC of models by scores and kinds of OOD images, the best mean on top."""
    families = families_of(pd.concat(curves.values()))
    tables = [rows.pivot_table(index="model", columns="condition", values="value", sort=False) for rows in curves.values()]
    means = {
        model: np.mean([cast("pd.Series", table.loc[model]).mean() for table in tables if model in table.index])
        for model in families
    }
    order = sorted(families, key=lambda model: (families[model] == "reference", -means[model]))
    group = Markup('<th scope="colgroup" colspan="{}">{}</th>')
    groups = Markup("").join(group.format(len(table.columns), CURVES[curve]) for curve, table in zip(curves, tables))
    kinds = Markup("").join(upright_header(kind, HEAD) for table in tables for kind in table.columns)
    head = Markup('<tr class="groups"><th></th>{}</tr><tr><th scope="col" style="{}">Model</th>{}</tr>')
    values = pd.concat([table.reindex(order) for table in tables], axis=1)
    rows = [model_row(model, families[model], map(_cell, cast("pd.Series", values.loc[model]))) for model in order]
    return scrolling(f"OOD detection on {dataset}: AUROC", head.format(groups, TIGHT, kinds), rows, "scroll small")


def _cell(value: float) -> Markup:
    if not np.isfinite(value):
        return Markup('<td class="missing" style="{}"><span class="hidden">not measured</span></td>').format(CELL)
    # Green above chance, orange below it.
    color = shade(GOOD if value >= CHANCE else BAD, min(abs(value - CHANCE) / CHANCE, 1))
    return Markup('<td class="number" style="{};background:{}">{}</td>').format(CELL, color, f"{value:.2f}")


def _failures(rows: pd.DataFrame) -> Markup:
    """The densities that prefer OOD images to test images, beyond the interval, and which."""
    failed = rows[(rows["high"].fillna(rows["value"]) < CHANCE) & (rows["family"] != "reference")]
    if failed.empty:
        return Markup("<p>No density assigns a higher likelihood to a kind of OOD images than to test images.</p>")
    models = [f"{', '.join(preferred['model'])} ({kind})" for kind, preferred in failed.groupby("condition", sort=False)]
    sentence = Markup(
        "<p>The known failure: these densities assign a higher likelihood to OOD images than to test images: {}.</p>"
    )
    return sentence.format("; ".join(models))
