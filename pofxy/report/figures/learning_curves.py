"""Learning curves

Accuracy on test as training images grow in number; every model gets the same subsets, each a part of the next larger one, in
several draws. First the pairs: a generative classifier beside its discriminative partner, the model with decision boundaries of
the same kind. Thin lines are single draws, thick ones their mean. Ng and Jordan (NIPS 2001) expect the generative partner ahead
while images are few, and behind when they are many. The vertical line is that crossover, where there is one; the band is its 95
% interval, which comes from resampling a few draws: take it as rough.

Then all models together. The accuracy axis widens towards the top: to halve the error is the same step everywhere. A bold line
is the best at one size at least. "all" is the whole train split, which is fitted on once; there a model that is trained in
steps takes more of them than on a subset, so its last rise is in part that of its training.
"""

import numpy as np
import pandas as pd
from markupsafe import Markup

from pofxy.report import chart
from pofxy.report.counterparts import Pair, pairs, whole

ORDER = 30
TICKS = (0, 0.2, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999)


def learning_curves(study):
    """Pairs, all models and their table for each data set; None where no model was fitted on subsets."""
    parts = []
    for dataset in study.datasets:
        rows = chart.curve(study, dataset, "learning_curve")
        if rows.empty:
            continue
        found = pairs(study, dataset)
        room = tuple(model for pair in found for model in pair.curves)
        drawn = [_pair(dataset, rows, pair, room) for pair in found]
        panels = Markup('<div class="panels two">{}</div>').format(Markup("").join(drawn)) if drawn else None
        stack = chart.stack(panels, _all(dataset, rows), _table(dataset, rows))
        parts.append(chart.heading(study, dataset) + stack)
    return Markup("").join(parts) or None


def _pair(dataset: str, rows: pd.DataFrame, pair: Pair, room: tuple[str, ...]) -> Markup:
    """A panel of the draws and sizes that both models have, and the verdict."""
    found = pair.crossover
    with chart.axes(4.1, 2.5) as (figure, plot):
        ends = []
        for (model, values), family in zip(pair.curves.items(), ("generative", "discriminative"), strict=True):
            colour, mean = chart.COLOURS[family], values.mean()
            plot.plot(values.T, color=colour, linewidth=0.6, alpha=0.4)
            plot.plot(mean, "o-", color=colour, linewidth=1.8, markersize=3)
            ends.append((mean.index[-1], mean.iloc[-1], model, family, False))
        _size_axis(plot, rows)
        if found.found:
            plot.axvline(found.n, color=chart.INK, linewidth=0.9, linestyle=(0, (3, 2)), zorder=1)
        if found.found and np.isfinite(found.low):
            left, right = plot.get_xlim()
            plot.axvspan(max(found.low, left), min(found.high, right), color=chart.MUTED, alpha=0.14, linewidth=0, zorder=0)
        plot.set_ylabel("accuracy")
        chart.label_ends(plot, ends, room)
        drawing = chart.svg(figure, f"learning curves on {dataset}, {pair.verdict}")
    return Markup('<div>{}<p class="note">{}</p></div>').format(drawing, pair.verdict)


def _all(dataset: str, rows: pd.DataFrame) -> Markup:
    """One chart of every model."""
    means = rows.pivot_table(index="model", columns="at", values="value", sort=False).sort_index(axis=1)
    families, best = dict(zip(rows["model"], rows["family"], strict=True)), set(means.idxmax())
    floor = 0.5 / max(rows["n"].max(), 1) if rows["n"].notna().any() else 1e-4  # no error at all is drawn as half an image
    with chart.axes(6.0, max(3.5, 0.8 + 0.13 * len(means))) as (figure, plot):
        ends = []
        # The best come last, above the others.
        for model in sorted(means.index, key=lambda model: model in best):
            line, bold, family = means.loc[model].dropna(), model in best, families[model]
            colour = chart.COLOURS.get(family, chart.MUTED)
            plot.plot(
                line, "o-", color=colour, linewidth=2 if bold else 0.8, markersize=3 if bold else 1.5, alpha=1 if bold else 0.55
            )
            ends.append((line.index[-1], line.iloc[-1], model, family, bold))
        _size_axis(plot, rows)
        _accuracy_axis(plot, means.min(axis=None), means.max(axis=None), floor)
        plot.set_ylabel("accuracy, mean over the draws")
        chart.label_ends(plot, ends)
        return chart.svg(figure, f"learning curves of all models on {dataset}", zoom=1.2)


def _table(dataset: str, rows: pd.DataFrame) -> Markup:
    """The means as numbers, the model that is best at the largest size on top."""
    means = rows.pivot_table(index="model", columns="at", values="value", sort=False).sort_index(axis=1)
    means = means.sort_values(list(means.columns[::-1]), ascending=False, kind="stable")
    means.columns = [name.replace("\n", "") for name in _size_names(rows)]
    families = dict(zip(rows["model"], rows["family"], strict=True))
    return chart.heatmap(means, families, "accuracy by training images per class", f"accuracy by training images on {dataset}")


def _size_names(rows: pd.DataFrame) -> list[str]:
    """The sizes in words, ascending; that of the whole split, which may be close to another, stands in a second line."""
    return ["\nall" if size == whole(rows) else f"{size:,.4g}" for size in np.sort(rows["at"].unique())]


def _size_axis(plot, rows: pd.DataFrame) -> None:
    from matplotlib.ticker import NullLocator

    sizes = np.sort(rows["at"].unique())
    plot.set_xscale("log")
    plot.xaxis.set_minor_locator(NullLocator())
    plot.set_xticks(sizes, _size_names(rows))
    plot.set_xlim(sizes[0] / 1.15, sizes[-1] * 1.15)
    # Beside "all", not below it.
    plot.set_xlabel("training images per class", labelpad=None if whole(rows) is None else -6)


def _accuracy_axis(plot, low: float, high: float, floor: float) -> None:
    """Accuracy with more room near 1: its distance from the top is the logarithm of the error, which is `floor` at the least."""
    from matplotlib.ticker import NullLocator

    def forward(accuracy):
        return -np.log10(np.maximum(1 - accuracy, floor))

    def inverse(height):
        return 1 - 10**-height

    plot.set_yscale("function", functions=(forward, inverse))
    plot.yaxis.set_minor_locator(NullLocator())
    margin = 0.04 * (forward(high) - forward(low)) or 0.1
    low, high = inverse(forward(low) - margin), inverse(forward(high) + margin)
    ticks = [tick for tick in TICKS if low <= tick <= high]
    plot.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    plot.set_ylim(low, high)
