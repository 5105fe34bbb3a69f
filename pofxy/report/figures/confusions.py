"""Confusions

A row holds the test images of one class, and says as what the model sees them: blue on the diagonal where it is right, orange
where it takes them for the class of the column, the darker the larger that share of the row. An orange cell without a twin across
the diagonal is a one-sided mistake. Below each panel stand its most frequent ones. The most accurate model comes first; all
panels share one scale, and show each model's first seed.
"""

import numpy as np
from markupsafe import Markup

from pofxy.report import chart

ORDER = 22
# From no mistake to half of a class and more.
ORANGES, BLUES = ["#ffffff", "#f0a35e", "#d55e00", "#8a3500"], ["#ffffff", "#c4dcec"]
DARKEST, KEY = 0.5, (0.002, 0.01, 0.05, 0.2, 0.5)
MISTAKES, LETTERS = 3, 8


def confusions(study):
    """A panel for each classifier of each data set; None where nothing was classified."""
    parts = [chart.heading(study, dataset) + drawn for dataset in study.datasets if (drawn := _panels(study, dataset))]
    return Markup("").join(parts) or None


def _panels(study, dataset: str) -> Markup | None:
    said = {model: study.predictions(dataset, model, seed)[0] for model, _, seed in study.classifiers(dataset)}
    if not said:
        return None
    truth = study.truth(dataset)
    names = study.class_names(dataset)
    classes = max(len(names), 1 + max(labels.max() for labels in (truth, *said.values())))
    names = [*names, *map(str, range(len(names), classes))]
    cell, panels = Markup('<div>{}<p class="note">{}</p></div>'), []
    for model, labels in sorted(said.items(), key=lambda pair: -(pair[1] == truth).mean()):
        counts = np.bincount(truth * classes + labels, minlength=classes**2).reshape(classes, classes)
        panels.append(cell.format(_panel(dataset, model, counts, names), Markup("<br>").join(_mistakes(counts, names))))
    return _key() + Markup('<div class="panels">{}</div>').format(Markup("").join(panels))


def _mistakes(counts: np.ndarray, names: list[str]) -> list[str]:
    wrong = counts - np.diag(np.diag(counts))
    places = [np.unravel_index(place, wrong.shape) for place in np.argsort(-wrong, axis=None, kind="stable")[:MISTAKES]]
    times = {1: "once", 2: "twice"}
    said = [f"{names[k]} taken for {names[j]}: {times.get(n, f'{n} times')}" for k, j in places if (n := int(wrong[k, j]))]
    return said or ["no mistake"]


def _panel(dataset: str, model: str, counts: np.ndarray, names: list[str]) -> Markup:
    from matplotlib.collections import PolyCollection

    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    row, column = np.nonzero(counts)
    colours = np.where((row == column)[:, None], _ramp(BLUES)(share[row, column]), _orange(share[row, column]))
    corners = np.stack([column, row], 1)[:, None] + np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    with chart.axes(2.8, 2.9) as (figure, plot):
        plot.add_collection(PolyCollection(corners, facecolors=colours))
        plot.set_xlim(0, len(names))
        plot.set_ylim(len(names), 0)
        plot.set_aspect("equal")
        plot.spines[:].set_visible(True)
        short = [name if len(name) <= LETTERS else name[: LETTERS - 1] + "…" for name in names]
        middles, size = np.arange(len(names)) + 0.5, min(7, 125 / len(names))
        # Turned about their ends, so that they touch the axis in any font.
        upright = {"rotation": 90, "rotation_mode": "anchor", "ha": "right", "va": "center"} if max(map(len, short)) > 2 else {}
        plot.set_xticks(middles, short, fontsize=size, **upright)
        plot.set_yticks(middles, short, fontsize=size)
        plot.grid(False)
        figure.suptitle(model, x=0.02, ha="left", fontsize=9, fontweight="bold")  # the axes may be narrower than the name
        plot.set_xlabel("seen as", fontsize=7)
        plot.set_ylabel("is", fontsize=7)
        return chart.svg(figure, f"confusions of {model} on {dataset}")


def _key() -> Markup:
    from matplotlib.colors import to_hex

    style = "display:inline-block;width:12px;height:12px;margin:0 5px 0 14px;vertical-align:-1px;background:"
    swatch = Markup('<span style="white-space:nowrap"><span style="{}{}"></span>{:g} %</span> ')
    swatches = Markup("").join(swatch.format(style, to_hex(_orange(share)), 100 * share) for share in KEY)
    return Markup('<p class="note">Share of a class that is taken for another: {}</p>').format(swatches)


def _orange(share):
    # The root tells mistakes of one in a hundred from none, and still those of one in five from one in two.
    return _ramp(ORANGES)(np.sqrt(np.minimum(share, DARKEST) / DARKEST))


def _ramp(colours: list[str]):
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("", colours)
