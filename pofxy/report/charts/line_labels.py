"""Names at the ends of lines, moved apart where they would overlap."""

from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import pandas as pd

from pofxy.report.charts.colors import FAMILY_TEXT_COLORS, MUTED, family_color

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.text import Annotation

FONT_SIZE = 7
# From the axes to the names, in points.
DISTANCE = 14
# From one name to the next, in font sizes.
LINE_HEIGHT = 1.3


class LineEnd(NamedTuple):
    """The right end of a line, and the name that belongs to it."""

    x: float
    y: float
    name: str
    family: str
    bold: bool = False


def end_of(line: pd.Series, name: str, family: str, bold: bool = False) -> LineEnd:
    """The end of a line: values by their places, ascending."""
    return LineEnd(line.index[-1], line.iloc[-1], name, family, bold)


def label_ends(plot: "Axes", ends: list[LineEnd], other_names: tuple[str, ...] = ()) -> None:
    """Names at the right of a chart, joined to the ends of their lines and moved apart where they would overlap.

    Args:
        plot: its lines are drawn and its limits are final.
        ends: of the lines.
        other_names: names that there is room for as well, so that panels beside each other are equally wide.
    """
    from scipy.optimize import isotonic_regression

    figure = plot.figure
    ends = sorted(ends, key=lambda end: end.y)
    labels = [_annotate(plot, end) for end in ends]
    pixels_per_point = figure.dpi / 72
    distance = DISTANCE * pixels_per_point
    widest = _widest(plot, {*other_names, *(end.name for end in ends)})
    layout = cast("ConstrainedLayoutEngine", figure.get_layout_engine())  # that of every figure from `axes`
    layout.set(rect=(0, 0, 1 - (widest + distance) / figure.bbox.width, 1))
    figure.canvas.draw()  # the height of the axes is known only now
    if not ends:
        return
    box = plot.get_window_extent()
    wanted = np.array([plot.transData.transform((end.x, end.y))[1] - box.y0 for end in ends]).clip(0, box.height)
    gap = min(LINE_HEIGHT * FONT_SIZE * pixels_per_point, box.height / max(len(ends) - 1, 1))
    # Without the space that the names below it take, each height may be any number that is not below the height before it:
    # isotonic regression finds the nearest such heights.
    below = gap * np.arange(len(ends))
    heights = isotonic_regression(wanted - below).x.clip(0, box.height - below[-1]) + below
    for label, height in zip(labels, heights, strict=True):
        label.set_position((1 + distance / box.width, height / box.height))


def _annotate(plot: "Axes", end: LineEnd) -> "Annotation":
    return plot.annotate(
        end.name,
        (end.x, end.y),
        (1, 0.5),
        textcoords="axes fraction",
        annotation_clip=False,
        in_layout=False,
        va="center",
        fontsize=FONT_SIZE,
        fontweight="bold" if end.bold else "normal",
        color=FAMILY_TEXT_COLORS.get(end.family, MUTED),
        arrowprops={
            "arrowstyle": "-",
            "color": family_color(end.family),
            "linewidth": 0.9 if end.bold else 0.5,
            "alpha": 0.9 if end.bold else 0.5,
            "relpos": (0, 0.5),
            "shrinkA": 1,
            "shrinkB": 2,
        },
    )


def _widest(plot: "Axes", names: set[str]) -> float:
    """The width of the widest of these names in bold, in pixels."""
    texts = [plot.text(0, 0, name, fontsize=FONT_SIZE, fontweight="bold") for name in names]
    widest = max((text.get_window_extent().width for text in texts), default=0.0)
    for text in texts:
        text.remove()
    return widest
