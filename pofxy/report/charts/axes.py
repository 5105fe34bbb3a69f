"""Matplotlib axes in the style of the report, and a figure as inline SVG: no file, no font."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from pofxy.report.charts.colors import GRID, INK, MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType

POINTS_PER_INCH = 72
PIXELS_PER_POINT = 4 / 3

# Text stays text. The page's own font replaces the font that it was measured with, which is wider.
STYLE: "dict[RcKeyType, Any]" = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#b5bac4",
    "axes.linewidth": 0.7,
    "axes.labelcolor": MUTED,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "lines.linewidth": 1.3,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}


@contextmanager
def axes(width: float, height: float) -> Iterator[tuple["Figure", "Axes"]]:
    """(figure, axes) of `width` by `height` inches in the report's style; the figure is closed afterwards."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    with matplotlib.rc_context(STYLE):
        figure, plot = pyplot.subplots(figsize=(width, height), layout="constrained")
        try:
            yield figure, plot
        finally:
            pyplot.close(figure)


def svg(figure: "Figure", label: str, zoom: float = 1.0) -> Markup:
    """A figure as inline SVG.

    Args:
        figure: as `axes` gives it.
        label: says what the figure shows, for readers who cannot see it.
        zoom: times the figure's size where the page is wide enough; elsewhere it is as wide as the page.
    """
    import matplotlib

    # A salt of its own: two charts on one page must not share the ids of their parts.
    with matplotlib.rc_context({"svg.hashsalt": label}):
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    width, height = figure.get_size_inches() * POINTS_PER_INCH
    body = buffer.getvalue()
    body = body[body.index(">", body.index("<svg")) + 1 :]
    # Matplotlib numbers its groups alike in every figure, and nothing refers to these numbers.
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    size = f'viewBox="0 0 {width:g} {height:g}" style="width:{zoom * width * PIXELS_PER_POINT:.0f}px"'
    return Markup(f'<svg {size} role="img" aria-label="{escape(label)}">{body}')
