"""Confusion matrices

A row holds the test images of one class, a column those that the model assigns to one class. Cells on the diagonal are right
(blue); the others are mistakes (orange). The darker a cell, the larger its share of the row. An orange cell without a counterpart
across the diagonal is a mistake in one direction only. Below each panel stand its most frequent mistakes. The most accurate model
comes first. All panels share one scale and show each model's first seed.
"""

from typing import TYPE_CHECKING, cast

import numpy as np
from markupsafe import Markup

from pofxy.report.charts.axes import axes, svg
from pofxy.report.charts.layout import grid, note, stack
from pofxy.report.study import Study

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

ORDER = 22
# From no mistake to half of a class and more.
ORANGES = ["#ffffff", "#f0a35e", "#d55e00", "#8a3500"]
BLUES = ["#ffffff", "#c4dcec"]
DARKEST = 0.5
KEY = (0.002, 0.01, 0.05, 0.2, 0.5)
# Mistakes below each panel, and letters of a class's name.
MISTAKES = 3
LETTERS = 8


def confusion_matrices(study: Study, dataset: str) -> Markup | None:
    """A panel per classifier; None where nothing was classified."""
    predicted = {model: study.predictions(dataset, model, seed)[0] for model, _, seed in study.classifiers(dataset)}
    if not predicted:
        return None
    truth = study.truth(dataset)
    names = study.class_names(dataset)
    classes = max(len(names), 1 + max(labels.max() for labels in (truth, *predicted.values())))
    names = [*names, *map(str, range(len(names), classes))]
    panels = []
    for model, labels in sorted(predicted.items(), key=lambda pair: -(pair[1] == truth).mean()):
        counts = np.bincount(truth * classes + labels, minlength=classes**2).reshape(classes, classes)
        panels.append(_panel(dataset, model, counts, names) + note(Markup("<br>").join(_mistakes(counts, names))))
    return stack(_key(), grid(panels))


def _mistakes(counts: np.ndarray, names: list[str]) -> list[str]:
    """The most frequent mistakes in words."""
    wrong = counts - np.diag(np.diag(counts))
    places = [np.unravel_index(place, wrong.shape) for place in np.argsort(-wrong, axis=None, kind="stable")[:MISTAKES]]
    times = {1: "once", 2: "twice"}
    mistakes = []
    for true_class, predicted_class in places:
        count = int(wrong[true_class, predicted_class])
        if count:
            mistakes.append(f"{names[true_class]} taken for {names[predicted_class]}: {times.get(count, f'{count} times')}")
    return mistakes or ["no mistake"]


def _panel(dataset: str, model: str, counts: np.ndarray, names: list[str]) -> Markup:
    from matplotlib.collections import PolyCollection

    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    row, column = np.nonzero(counts)
    is_right = (row == column)[:, None]
    colors = np.where(is_right, _colormap(BLUES)(share[row, column]), _orange(share[row, column]))
    corners = np.stack([column, row], 1)[:, None] + np.array([[0, 0], [1, 0], [1, 1], [0, 1]])  # (cells, 4, 2)
    with axes(2.8, 2.9) as (figure, plot):
        # The stub wants a sequence; Matplotlib takes one array of all polygons as well, on a faster path.
        plot.add_collection(PolyCollection(corners, facecolors=colors))  # pyright: ignore[reportArgumentType]
        plot.set_xlim(0, len(names))
        plot.set_ylim(len(names), 0)
        plot.set_aspect("equal")
        plot.spines[:].set_visible(True)
        short = [name if len(name) <= LETTERS else name[: LETTERS - 1] + "…" for name in names]
        middles = np.arange(len(names)) + 0.5
        size = min(7, 125 / len(names))
        upright = {}
        if max(map(len, short)) > 2:
            # Rotated about their ends, so that they touch the axis in any font.
            upright = {"rotation": 90, "rotation_mode": "anchor", "ha": "right", "va": "center"}
        plot.set_xticks(middles, short, fontsize=size, **upright)
        plot.set_yticks(middles, short, fontsize=size)
        plot.grid(False)
        figure.suptitle(model, x=0.02, ha="left", fontsize=9, fontweight="bold")  # the axes may be narrower than the name
        plot.set_xlabel("predicted class", fontsize=7)
        plot.set_ylabel("true class", fontsize=7)
        return svg(figure, f"confusion matrix of {model} on {dataset}")


def _key() -> Markup:
    from matplotlib.colors import to_hex

    style = "display:inline-block;width:12px;height:12px;margin:0 5px 0 14px;vertical-align:-1px;background:"
    swatch = Markup('<span style="white-space:nowrap"><span style="{}{}"></span>{:g} %</span> ')
    colors = [cast("tuple[float, float, float, float]", _orange(share)) for share in KEY]
    swatches = Markup("").join(swatch.format(style, to_hex(color), 100 * share) for color, share in zip(colors, KEY, strict=True))
    return note(Markup("Share of a class that is taken for another: {}").format(swatches))


def _orange(share: np.ndarray | float) -> np.ndarray | tuple[float, float, float, float]:
    # The square root makes mistakes of one in a hundred differ from none, and those of one in five from one in two.
    return _colormap(ORANGES)(np.sqrt(np.minimum(share, DARKEST) / DARKEST))


def _colormap(colors: list[str]) -> "Colormap":
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("", colors)
