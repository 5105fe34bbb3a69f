"""Adversarial attacks

Accuracy on test images that were changed to mislead the very model that is judged, each pixel by epsilon at most, of a range of
1. FGSM (dashed) takes one step up the gradient, PGD (solid) several: the stronger attack, and the line to go by. Grey lines are
the other models under PGD. The model with the highest mean under PGD comes first.

A stronger attack may find more: these lines are upper bounds. An attack follows the gradient by the pixels; a model that has none
cannot be attacked in this way, which does not make it safe.
"""

import pandas as pd
from markupsafe import Markup

from pofxy.report import chart

ORDER = 36
STRONGER = "PGD"
VERB = "decision_function"  # what an attack differentiates


def adversarial(study):
    """A panel for each model, who is absent, and a table, for each data set; None where no model was attacked."""
    parts = []
    for dataset in study.datasets:
        rows = chart.curve(study, dataset, "adversarial")
        if rows.empty:
            continue
        lines = {name: _lines(found) for name, found in rows.groupby("condition", sort=False)}
        # Epsilon 0 is no attack.
        means = rows[(rows["condition"] == STRONGER) & (rows["at"] > 0)].groupby("model", sort=False)["value"].mean()
        order = [*means.sort_values(ascending=False, kind="stable").index]
        order += [model for model in rows["model"].unique() if model not in order]
        families = dict(zip(rows["model"], rows["family"], strict=True))
        panels = Markup("").join(_panel(dataset, model, families[model], lines) for model in order)
        two_on_a_phone = "grid-template-columns:repeat(auto-fill,minmax(200px,1fr))"
        grid = Markup('<div class="panels" style="{}">{}</div>').format(two_on_a_phone, panels)
        stack = chart.stack(grid, _absent(study, dataset, order), _table(dataset, lines, order, families))
        parts.append(chart.heading(study, dataset) + stack)
    return Markup("").join(parts) or None


def _lines(rows: pd.DataFrame) -> pd.DataFrame:
    """Accuracies, (models, epsilons)."""
    return rows.pivot_table(index="model", columns="at", values="value", sort=False).sort_index(axis=1)


def _panel(dataset: str, model: str, family: str, lines: dict[str, pd.DataFrame]) -> Markup:
    with chart.axes(2.75, 1.75) as (figure, plot):
        colour, ends = chart.COLOURS.get(family, chart.MUTED), []
        for attack, found in lines.items():
            if attack == STRONGER:
                plot.plot(found.drop(index=model, errors="ignore").T, color="#c9ced6", linewidth=0.7, zorder=1)
            if model in found.index:
                line = found.loc[model].dropna()
                plot.plot(line, color=colour, linewidth=1.8, linestyle="-" if attack == STRONGER else (0, (4, 1.5)))
                ends.append((line.index[-1], line.iloc[-1], attack, family, attack == STRONGER))
        plot.set_ylim(-0.04, 1.04)
        plot.set_xlim(left=0)
        plot.margins(x=0)
        plot.set_title(model)
        plot.set_xlabel("epsilon")
        plot.locator_params(axis="x", nbins=4)
        plot.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
        chart.label_ends(plot, ends)
        return chart.svg(figure, f"accuracy of {model} under attack by epsilon on {dataset}")


def _absent(study, dataset: str, attacked: list[str]) -> Markup | None:
    """The classifiers that were not attacked, and why."""
    capabilities = dict(zip(study.runs["model"], study.runs["capabilities"].str.split(), strict=True))
    absent = [model for model, *_ in study.classifiers(dataset) if model not in attacked]
    without = [model for model in absent if VERB not in capabilities[model]]
    others = [model for model in absent if VERB in capabilities[model]]
    said = [f"No gradient by the pixels, and so not here: {', '.join(without)}."] if without else []
    said += [f"Not measured: {', '.join(others)}."] if others else []
    return Markup('<p class="note">{}</p>').format(" ".join(said)) if said else None


def _table(dataset: str, lines: dict[str, pd.DataFrame], order: list[str], families: dict[str, str]) -> Markup | None:
    """The accuracies under the stronger attack as numbers."""
    if STRONGER not in lines:
        return None
    found = lines[STRONGER].loc[[model for model in order if model in lines[STRONGER].index]].rename(columns=lambda at: f"{at:g}")
    table = chart.heatmap(found, families, f"accuracy under {STRONGER} by epsilon", f"accuracy under {STRONGER} on {dataset}")
    return Markup("<details><summary>{} as numbers</summary>{}</details>").format(STRONGER, table)
