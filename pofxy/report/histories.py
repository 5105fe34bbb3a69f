"""What models recorded epoch by epoch, as panels of lines."""

import pandas as pd
from markupsafe import Markup

from pofxy.report.charts.axes import axes, svg
from pofxy.report.charts.scales import log_axis
from pofxy.report.study import Study

# The colors of both families, and more for the second objective of an adversarial pair.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
# The share of the epochs at the start that the y axis does not have to show: their steep fall would flatten the rest.
IGNORED = 1 / 20


def histories_of_models(study: Study, dataset: str) -> dict[str, list[pd.DataFrame]]:
    """The histories of each model's seeds, a row per epoch; models without one are left out."""
    runs = study.runs[(study.runs["family"] != "feature_net") & (study.runs["dataset"] == dataset)]
    histories = {}
    for model, seeds in runs.groupby("model", sort=False):
        recorded = [study.history(dataset, str(model), seed) for seed in seeds["seed"]]
        recorded = [history for history in recorded if history is not None]
        if recorded:
            histories[str(model)] = recorded
    return histories


def history_panel(title: str, label: str, histories: list[pd.DataFrame], columns: list[str], yscale: str = "linear") -> Markup:
    """A line for each column and seed; dashed on val, in the color of the same column on train.

    Args:
        title: above the panel.
        label: what it shows, in words.
        histories: one for each seed, a row for each epoch; a number that was not recorded in an epoch is NaN.
        columns: of the histories.
        yscale: "linear", or "log", which is linear where some value is not positive.
    """
    quantities = list(dict.fromkeys(name.removeprefix("val_") for name in columns))
    with axes(2.9, 2.0) as (figure, plot):
        shown: list[float] = []
        for history in histories:
            for name in (name for name in columns if name in history):
                quantity = name.removeprefix("val_")
                line = history[["epoch", name]].dropna()
                plot.plot(
                    line["epoch"],
                    line[name],
                    color=COLORS[quantities.index(quantity) % len(COLORS)],
                    linestyle="--" if name.startswith("val_") else "-",
                    marker="o" if len(line) == 1 or len(line) < len(history) else None,
                    markersize=3,
                    alpha=1 if len(histories) == 1 else 0.6,
                    label=_legend(name, history) if history is histories[0] else None,
                )
                shown.extend(line[name].iloc[int(len(line) * IGNORED) :])
        if yscale == "log" and min(shown, default=0) > 0:
            log_axis(plot.yaxis, shown)
        else:
            low = min(shown, default=0)
            high = max(shown, default=1)
            margin = 0.05 * (high - low or 1)
            plot.set_ylim(low - margin, high + margin)
            plot.locator_params(axis="y", nbins=5)
        plot.set_title(title)
        plot.set_xlabel("epoch")
        plot.locator_params(axis="x", nbins=5, integer=True)
        if columns:
            plot.legend(fontsize=6.5, handlelength=1.6)
        return svg(figure, label)


def _legend(column: str, history: pd.DataFrame) -> str:
    """The name of a column, with its split where both splits are recorded."""
    name = column.removeprefix("val_").replace("_", " ")
    if column.startswith("val_"):
        return f"val {name}"
    return f"train {name}" if f"val_{column}" in history else name
