"""What models recorded epoch by epoch, as panels of lines."""

import pandas as pd
from markupsafe import Markup

from pofxy.report import chart

# Beyond the two families' own colours, for the second objective of a pair.
PALETTE = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"]


def of_models(study, dataset: str) -> dict[str, list[pd.DataFrame]]:
    """The histories of each model's seeds, those that have one."""
    runs = study.runs[(study.runs["family"] != "feature_net") & (study.runs["dataset"] == dataset)]
    found = {}
    for model, seeds in runs.groupby("model", sort=False):
        histories = [h for seed in seeds["seed"] if (h := study.history(dataset, model, seed)) is not None]
        if histories:
            found[model] = histories
    return found


def panel(title: str, label: str, histories: list[pd.DataFrame], columns: list[str], log: bool = False) -> Markup:
    """A line for each column and seed; dashed on val, which has the colour of the same column on train.

    Args:
        title: above the panel.
        label: what it shows, in words.
        histories: one for each seed, a row for each epoch; a number that was not recorded in an epoch is NaN.
        columns: of them.
        log: whether the axis is logarithmic.
    """
    plain = list(dict.fromkeys(name.removeprefix("val_") for name in columns))
    with chart.axes(2.9, 2.0) as (figure, plot):
        shown = []
        for history in histories:
            for name in (name for name in columns if name in history):
                line = history[["epoch", name]].dropna()
                what = name.removeprefix("val_")
                split = "val " if name.startswith("val_") else "train " if f"val_{name}" in history else ""
                plot.plot(
                    line["epoch"],
                    line[name],
                    color=PALETTE[plain.index(what) % len(PALETTE)],
                    linestyle="--" if name.startswith("val_") else "-",
                    marker="o" if len(line) == 1 or len(line) < len(history) else None,
                    markersize=3,
                    alpha=1 if len(histories) == 1 else 0.6,
                    label=split + what.replace("_", " ") if history is histories[0] else None,
                )
                # The fall of the first epochs would flatten all that comes after it.
                shown.extend(line[name].iloc[len(line) // 20 :])
        if log and min(shown, default=0) > 0:
            plot.set_yscale("log")
            chart.log_axis(plot.yaxis, shown)
        else:
            low, high = min(shown, default=0), max(shown, default=1)
            plot.set_ylim(low - 0.05 * (high - low or 1), high + 0.05 * (high - low or 1))
            plot.locator_params(axis="y", nbins=5)
        plot.set_title(title)
        plot.set_xlabel("epoch")
        plot.locator_params(axis="x", nbins=5)
        plot.xaxis.get_major_locator().set_params(integer=True)
        if columns:
            plot.legend(fontsize=6.5, handlelength=1.6)
        return chart.svg(figure, label)
