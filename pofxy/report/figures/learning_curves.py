"""Learning curves

Test accuracy against the number of training images per class. All models are trained on the same random subsets, each a part of
the next larger one, with several repetitions. The first panels show pairs: a generative classifier and its discriminative
counterpart, which has decision boundaries of the same form. Thin lines are single repetitions, thick lines their mean. Ng and
Jordan (NIPS 2001) expect the generative classifier to be ahead with few images, and behind with many. The vertical line is this
crossover, where there is one. The band is its 95 % interval from a bootstrap over few repetitions, and so a rough one.

The chart below shows all models. Its accuracy axis is logarithmic in the error: halving the error is the same step everywhere. A
bold line is the best at one size at least. "all" is the whole train split, on which each model is trained once. There, models
that are trained by gradient steps take more steps than on a subset, so a part of their last rise is due to longer training.
"""

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
from markupsafe import Markup

from pofxy.report.charts.axes import axes, svg
from pofxy.report.charts.colors import FAMILY_COLORS, INK, MUTED, family_color
from pofxy.report.charts.curves import families_of, mean_curves
from pofxy.report.charts.heatmap import heatmap
from pofxy.report.charts.layout import BROAD, grid, note, stack
from pofxy.report.charts.line_labels import end_of, label_ends
from pofxy.report.counterparts import Pair, pairs, whole
from pofxy.report.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ORDER = 30
TICKS = (0, 0.2, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999)


def learning_curves(study: Study, dataset: str) -> Markup | None:
    """Pairs, all models and their table; None where no model was trained on subsets."""
    rows = mean_curves(study, dataset, "learning_curve")
    if rows.empty:
        return None
    compared = pairs(study, dataset)
    names = tuple(model for pair in compared for model in pair.curves)
    panels = [_pair(dataset, rows, pair, names) for pair in compared]
    means = rows.pivot_table(index="model", columns="at", values="value", sort=False).sort_index(axis=1)
    return stack(grid(panels, BROAD), _all(dataset, rows, means), _table(dataset, rows, means))


def _pair(dataset: str, rows: pd.DataFrame, pair: Pair, names: tuple[str, ...]) -> Markup:
    """A panel of the subsets that both models were trained on, and the verdict."""
    crossover = pair.crossover
    with axes(4.1, 2.5) as (figure, plot):
        ends = []
        for (model, values), family in zip(pair.curves.items(), ("generative", "discriminative"), strict=True):
            mean = values.mean()
            plot.plot(values.T, color=FAMILY_COLORS[family], linewidth=0.6, alpha=0.4)
            plot.plot(mean, "o-", color=FAMILY_COLORS[family], linewidth=1.8, markersize=3)
            ends.append(end_of(mean, model, family))
        _size_axis(plot, rows)
        if crossover.found:
            plot.axvline(crossover.n, color=INK, linewidth=0.9, linestyle=(0, (3, 2)), zorder=1)
        if crossover.found and np.isfinite(crossover.low):
            left, right = plot.get_xlim()
            interval = max(crossover.low, left), min(crossover.high, right)
            plot.axvspan(*interval, color=MUTED, alpha=0.14, linewidth=0, zorder=0)
        plot.set_ylabel("accuracy")
        label_ends(plot, ends, names)
        return svg(figure, f"learning curves on {dataset}, {pair.verdict}") + note(pair.verdict)


def _all(dataset: str, rows: pd.DataFrame, means: pd.DataFrame) -> Markup:
    """One chart of all models; means (models, sizes)."""
    families = families_of(rows)
    best = set(means.idxmax())
    smallest_error = 0.5 / max(rows["n"].max(), 1) if rows["n"].notna().any() else 1e-4  # no error is drawn as half an image
    with axes(6.0, max(3.5, 0.8 + 0.13 * len(means))) as (figure, plot):
        ends = []
        # The best come last, above the others.
        for model in sorted(means.index, key=lambda model: model in best):
            line = means.loc[model].dropna()
            bold = model in best
            style: dict[str, Any] = (
                {"linewidth": 2, "markersize": 3} if bold else {"linewidth": 0.8, "markersize": 1.5, "alpha": 0.55}
            )
            plot.plot(line, "o-", color=family_color(families[model]), **style)
            ends.append(end_of(line, model, families[model], bold))
        _size_axis(plot, rows)
        low = cast("float", means.min(axis=None))
        high = cast("float", means.max(axis=None))
        _accuracy_axis(plot, low, high, smallest_error)
        plot.set_ylabel("accuracy, mean over the subsets")
        label_ends(plot, ends)
        return svg(figure, f"learning curves of all models on {dataset}", zoom=1.2)


def _table(dataset: str, rows: pd.DataFrame, means: pd.DataFrame) -> Markup:
    """The means as numbers, the model that is best at the largest size on top."""
    means = means.sort_values(list(means.columns[::-1]), ascending=False, kind="stable")
    means.columns = [name.replace("\n", "") for name in _size_names(rows)]
    title = "accuracy by training images per class"
    return heatmap(means, families_of(rows), title, f"accuracy by training images on {dataset}")


def _size_names(rows: pd.DataFrame) -> list[str]:
    """The sizes as text, ascending; that of the whole split, which may be close to another, stands in a second line."""
    return ["\nall" if size == whole(rows) else f"{size:,.4g}" for size in np.sort(rows["at"].unique())]


def _size_axis(plot: "Axes", rows: pd.DataFrame) -> None:
    from matplotlib.ticker import NullLocator

    sizes = np.sort(rows["at"].unique())
    plot.set_xscale("log")
    plot.xaxis.set_minor_locator(NullLocator())
    plot.set_xticks(sizes, _size_names(rows))
    plot.set_xlim(sizes[0] / 1.15, sizes[-1] * 1.15)
    # Beside "all", not below it.
    plot.set_xlabel("training images per class", labelpad=None if whole(rows) is None else -6)


def _accuracy_axis(plot: "Axes", low: float, high: float, smallest_error: float) -> None:
    """An axis of accuracy that is logarithmic in the error, from `low` to `high`; errors below the smallest are drawn there."""
    from matplotlib.ticker import NullLocator

    def forward(accuracy):
        return -np.log10(np.maximum(1 - accuracy, smallest_error))

    def inverse(height):
        return 1 - 10**-height

    plot.set_yscale("function", functions=(forward, inverse))
    plot.yaxis.set_minor_locator(NullLocator())
    margin = 0.04 * (forward(high) - forward(low)) or 0.1
    bottom = inverse(forward(low) - margin)
    top = inverse(forward(high) + margin)
    ticks = [tick for tick in TICKS if bottom <= tick <= top]
    plot.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    plot.set_ylim(bottom, top)
