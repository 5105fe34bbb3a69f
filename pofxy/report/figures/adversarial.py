"""Adversarial attacks

Accuracy on test images that were changed so that the attacked model errs. No pixel changes by more than epsilon, where the range
of pixels is 1. The fast gradient sign method (FGSM, dashed) takes one step along the gradient. Projected gradient descent (PGD,
solid) takes several steps and is the stronger attack: compare models by it. Gray lines are the other models under PGD. The model
with the highest mean accuracy under PGD comes first.

A stronger attack may find more errors, so these lines are upper bounds of the accuracy under attack. An attack follows the
gradient with respect to the pixels. A model without such a gradient cannot be attacked in this way, which does not make it
robust.
"""

from typing import cast

import pandas as pd
from markupsafe import Markup

from pofxy.report.charts.axes import axes, svg
from pofxy.report.charts.colors import family_color
from pofxy.report.charts.curves import families_of, mean_curves
from pofxy.report.charts.heatmap import heatmap
from pofxy.report.charts.layout import NARROW, folded, grid, note, stack
from pofxy.report.charts.line_labels import end_of, label_ends
from pofxy.report.study import Study

ORDER = 36
STRONGER = "PGD"
DASHES = (0, (4, 1.5))
# The capability whose output an attack differentiates.
CAPABILITY = "decision_function"


def adversarial(study: Study, dataset: str) -> Markup | None:
    """A panel per model, the models that were not attacked, and a table; None where no model was attacked."""
    rows = mean_curves(study, dataset, "adversarial")
    if rows.empty:
        return None
    accuracies = {str(attack): _accuracies(attacked) for attack, attacked in rows.groupby("condition", sort=False)}
    order = _order(rows)
    families = families_of(rows)
    panels = [_panel(dataset, model, families[model], accuracies) for model in order]
    return stack(grid(panels, NARROW), _absent(study, dataset, order), _table(dataset, accuracies, order, families))


def _accuracies(rows: pd.DataFrame) -> pd.DataFrame:
    """Accuracies, (models, epsilons)."""
    return rows.pivot_table(index="model", columns="at", values="value", sort=False).sort_index(axis=1)


def _order(rows: pd.DataFrame) -> list[str]:
    """The models by their mean accuracy under the stronger attack, the best first."""
    attacked = rows[(rows["condition"] == STRONGER) & (rows["at"] > 0)]  # epsilon 0 is no attack
    means = attacked.groupby("model", sort=False)["value"].mean().sort_values(ascending=False, kind="stable")
    return list(dict.fromkeys([*means.index, *rows["model"]]))


def _panel(dataset: str, model: str, family: str, accuracies: dict[str, pd.DataFrame]) -> Markup:
    with axes(2.75, 1.75) as (figure, plot):
        ends = []
        for attack, table in accuracies.items():
            is_stronger = attack == STRONGER
            if is_stronger:
                plot.plot(table.drop(index=model, errors="ignore").T, color="#c9ced6", linewidth=0.7, zorder=1)
            if model in table.index:
                line = cast("pd.Series", table.loc[model]).dropna()
                plot.plot(line, color=family_color(family), linewidth=1.8, linestyle="-" if is_stronger else DASHES)
                ends.append(end_of(line, attack, family, bold=is_stronger))
        plot.set_ylim(-0.04, 1.04)
        plot.set_xlim(left=0)
        plot.margins(x=0)
        plot.set_title(model)
        plot.set_xlabel("epsilon")
        plot.locator_params(axis="x", nbins=4)
        plot.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
        label_ends(plot, ends)
        return svg(figure, f"accuracy of {model} under attack by epsilon on {dataset}")


def _absent(study: Study, dataset: str, attacked: list[str]) -> Markup | None:
    """The classifiers that were not attacked, and why."""
    capabilities = dict(zip(study.runs["model"], study.runs["capabilities"].str.split(), strict=True))
    absent = [model for model, *_ in study.classifiers(dataset) if model not in attacked]
    no_gradient = [model for model in absent if CAPABILITY not in capabilities[model]]
    not_measured = [model for model in absent if CAPABILITY in capabilities[model]]
    sentences = []
    if no_gradient:
        sentences.append(f"Not attacked, as they have no gradient with respect to the pixels: {', '.join(no_gradient)}.")
    if not_measured:
        sentences.append(f"Not measured: {', '.join(not_measured)}.")
    return note(" ".join(sentences)) if sentences else None


def _table(dataset: str, accuracies: dict[str, pd.DataFrame], order: list[str], families: dict[str, str]) -> Markup | None:
    """The accuracies under the stronger attack as numbers."""
    if STRONGER not in accuracies:
        return None
    table = accuracies[STRONGER]
    table = table.loc[[model for model in order if model in table.index]].rename(columns=lambda epsilon: f"{epsilon:g}")
    title = f"accuracy under {STRONGER} by epsilon"
    return folded(f"{STRONGER} as numbers", heatmap(table, families, title, f"accuracy under {STRONGER} on {dataset}"))
