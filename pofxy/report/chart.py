"""How every chart of the report looks, and what several of them share. Charts are SVG text: no file, no font."""

import io
import re
import textwrap
from contextlib import contextmanager

import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from pofxy.report.comparison import one_each
from pofxy.report.wording import breakable, metric_name, number
from pofxy.study import catalog

# Okabe and Ito's colours, which stay apart for colour-blind eyes.
COLOURS = {"discriminative": "#0072b2", "generative": "#d55e00", "reference": "#6b7280"}
INK, MUTED, GRID = "#1f2430", "#667085", "#e3e6eb"
# The same for words, which need more contrast than lines do.
WORDS = COLOURS | {"generative": "#b84f00"}
# References from which a dashed line runs through the models: the ends of a scale.
LINES = ("real_train", "independent_pixels", "oracle")
# Ten classes: Okabe and Ito's colours without black, and three that stay apart from them.
CLASSES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#6a3d9a", "#8c564b", "#7f7f7f")
# Cells of a heatmap: the palette's green, which is no family's, and a padding that lets ten columns stand beside each other.
HEAT, TIGHT = "#009e73", "padding:6px 8px"

# Text stays text, and the page's own font replaces the one it was measured with, which is wider.
STYLE = {
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
def axes(width: float, height: float):
    """(figure, axes) of `width` by `height` inches in the house style; the figure is closed afterwards."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    with matplotlib.rc_context(STYLE):
        figure, plot = pyplot.subplots(figsize=(width, height), layout="constrained")
        try:
            yield figure, plot
        finally:
            pyplot.close(figure)


def svg(figure, label: str, zoom: float = 1.0) -> Markup:
    """A figure as inline SVG, `zoom` times its size where the page is wide enough, and as wide as the page where it is not.

    `label` tells what it shows to those who cannot see it.
    """
    import matplotlib

    # Its own salt: two charts on one page must not share the ids of their parts.
    with matplotlib.rc_context({"svg.hashsalt": label}):
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    width, height = figure.get_size_inches() * 72
    body = buffer.getvalue()
    body = body[body.index(">", body.index("<svg")) + 1 :]
    # Matplotlib numbers its groups alike in every figure, and nothing refers to these numbers.
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    size = f'viewBox="0 0 {width:g} {height:g}" style="width:{zoom * width * 4 / 3:.0f}px"'
    return Markup(f'<svg {size} role="img" aria-label="{escape(label)}">{body}')


def dots(
    rows: pd.DataFrame,
    xlabel: str,
    label: str,
    title: str = "",
    order: list[str] | None = None,
    also: pd.DataFrame | None = None,
    line: float | None = None,
    small: bool = False,
) -> Markup | None:
    """A dot plot: one line per model, its value and its interval, the best on top; references stand below, in grey.

    From each reference a line runs up through the models, dashed from the ends of the scale, faint from the others. The axis is
    logarithmic where the values span so much that a linear one would hide most of them.

    Args:
        rows: of `Study.summary`, one data set and one unit, one row per model; `hollow` (bool) and `note` (text at the right)
            may be added.
        xlabel: what the axis measures, with its unit.
        label: what the chart shows, in words.
        title: above the chart.
        order: of the models, from the top; by their values where there is none.
        also: more values of the same models: model, value, and mark ("train", or "estimator" for a smaller hollow dot).
        line: a value that is marked by a line, as it is the best.
        small: for a chart that stands beside others.

    Returns:
        The chart; None where no value is a finite number.
    """
    rows = rows[np.isfinite(rows["value"])]
    if rows.empty:
        return None
    also = also[np.isfinite(also["value"])] if also is not None else pd.DataFrame(columns=["model", "value", "mark"])
    rank = [order.index(model) if order and model in order else len(order or []) for model in rows["model"]]
    rows = rows.assign(last=rows["family"] == "reference", rank=rank).sort_values(["last", "rank", "loss"])
    # The first stands highest; a gap sets the references apart.
    gap = 0.45 * bool(rows["last"].any() and not rows["last"].all())
    heights = -np.arange(len(rows)) - gap * rows["last"].to_numpy()
    bounded = False
    scale = "linear" if bounded or rows["higher_is_better"].iloc[0] or line is not None else _scale(rows)
    size = (3.0, 0.62 + 0.16 * len(rows) + 0.14 * title.count("\n")) if small else (4.7, 0.7 + 0.19 * len(rows))
    with axes(*size) as (figure, plot):
        _set_scale(plot, scale, [*rows["value"], *also["value"]], rows)
        if line is not None:
            plot.axvline(line, color=INK, linewidth=0.9)
        for y, (_, row) in zip(heights, rows.iterrows(), strict=True):
            colour = COLOURS.get(row["family"], MUTED)
            low, high = row["low"], row["high"]
            if row["last"] and (row["model"] in LINES or (row["model"] == "noise" and not small)):
                plot.plot([row["value"]] * 2, [y, 0.6], color=colour, linewidth=0.9, linestyle=(0, (3, 2)), zorder=1)
            elif row["last"]:
                plot.plot([row["value"]] * 2, [y, 0.6], color="#cfd4dc", linewidth=0.7, linestyle=(0, (1, 2)), zorder=1)
            if np.isfinite(low) and np.isfinite(high):
                if scale == "log":  # an interval that reaches 0 has no end on a log axis
                    low = max(low, 0.8 * rows["value"].min())
                plot.plot([low, high], [y, y], color=colour, linewidth=2, alpha=0.4, solid_capstyle="round")
            for other in also[also["model"] == row["model"]].itertuples():
                marker, large = ("D", 4) if other.mark == "train" else ("o", 3.2)
                plot.plot(other.value, y, marker, color=colour, markerfacecolor="white", markersize=large, markeredgewidth=0.9)
            fill = "white" if row.get("hollow", False) else colour
            plot.plot(row["value"], y, "o", color=colour, markerfacecolor=fill, markersize=4 if small else 5, markeredgewidth=1.2)
            if row.get("note", ""):
                plot.annotate(row["note"], (1.01, y), xycoords=("axes fraction", "data"), va="center", fontsize=7, color=MUTED)
        plot.set_yticks(heights, rows["model"], fontsize=7 if small else 8)
        plot.tick_params(axis="x", labelsize=7 if small else 8)
        for name, last in zip(plot.get_yticklabels(), rows["last"], strict=True):
            name.set_color(MUTED if last else INK)
        plot.set_ylim(heights.min() - 0.6, 0.6)
        plot.spines["left"].set_visible(False)
        plot.set_xlabel(xlabel, fontsize=7 if small else 8)
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=8.5, fontweight="bold")
        return svg(figure, label, zoom=1 if small else 1.25)


def _scale(rows: pd.DataFrame) -> str:
    """How an axis must be for these values to be told apart: "linear", "log", or "symlog" where some are not positive."""
    values = rows["value"].to_numpy()
    sizes = np.abs(values[values != 0])
    if len(sizes) < 2 or (sizes.max() / np.median(sizes) < 8 and sizes.max() / sizes.min() < 30):
        return "linear"
    return "log" if values.min() > 0 else "symlog"


def _set_scale(plot, scale: str, values: list[float], rows: pd.DataFrame) -> None:
    from matplotlib.ticker import FuncFormatter

    if scale == "log":
        log_axis(plot.xaxis, values, crowded=True)
    elif scale == "symlog":
        # What an interval holds 0 for is as good as 0: there the axis is linear.
        clear = rows[(rows["low"] > 0) | (rows["high"] < 0)]["value"].abs()
        least = clear.min() if len(clear) else np.abs(values).max()
        plot.set_xscale("symlog", linthresh=10 ** np.floor(np.log10(least)), linscale=0.6)
        plot.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))
    else:
        plot.locator_params(axis="x", nbins=5)


def metric_constants(metric: str) -> dict:
    """The constants of a metric's file; none where there is no such file."""
    entry = catalog.metrics().get(metric)
    return entry.constants if entry else {}


def metric_panels(study, dataset: str, metrics: tuple[str, ...]) -> Markup | None:
    """A small dot plot for each of these metrics and its units that the data set has test scores of; None where it has none.

    The models stand in one order in all of them, so that the eye can follow one across: that of the first metric. An arrow after
    the name of a metric tells where better is.
    """
    found = study.summary[(study.summary["dataset"] == dataset) & (study.summary["split"] != "train")]
    panels, order = [], []
    for metric in metrics:
        for unit, rows in found[found["metric"] == metric].groupby("unit", sort=False):
            rows = one_each(rows)
            order += [model for model in rows.sort_values("loss", kind="stable")["model"] if model not in order]
            best, name = rows["best"].iloc[0], metric_name(metric)
            arrow = f"→ {best:g}" if np.isfinite(best) else "↑" if rows["higher_is_better"].iloc[0] else "↓"
            title = textwrap.fill(f"{name} {arrow}", 40)
            line = best if np.isfinite(best) else None
            panels.append(dots(rows, unit, f"{name} on {dataset}", title, order, line=line, small=True))
    panels = [panel for panel in panels if panel]
    return grid(panels) if panels else None


def grid(panels: list[Markup], least: int = 0) -> Markup:
    """Charts side by side, as many as there is room for; `least` pixels wide each, 0 for the usual."""
    style = f"grid-template-columns:repeat(auto-fill,minmax({least}px,1fr))" if least else ""
    cells = Markup("").join(Markup("<div>{}</div>").format(panel) for panel in panels)
    return Markup('<div class="panels" style="{}">{}</div>').format(style, cells)


def table(label: str, head: list[str], rows: list[tuple[str, str, list]], title: str = "Model") -> Markup:
    """A small table of numbers that are text already.

    Args:
        label: what it shows, in words.
        head: names of the columns after the first.
        rows: (model, family, its cells); a cell is text or markup, "" for none; a tuple (cell, CSS) has a style of its own.
        title: of the first column.
    """
    line = Markup('<tr class="{}"><th scope="row" style="{}"><span class="family"></span>{}</th>{}</tr>')
    body = []
    for model, family, cells in rows:
        pairs = [cell if isinstance(cell, tuple) else (cell, "") for cell in cells]
        shown = [
            Markup('<td class="number" style="{};{}">{}</td>').format(TIGHT, style, text)
            if text != ""
            else Markup('<td class="missing" style="{}">–</td>').format(TIGHT)
            for text, style in pairs
        ]
        body.append(line.format(family, TIGHT, breakable(model), Markup("").join(shown)))
    names = Markup("").join(Markup('<th scope="col" style="{}">{}</th>').format(TIGHT, name) for name in [title, *head])
    return Markup(
        '<div class="scroll small" tabindex="0" role="region" aria-label="{}"><table style="font-size:13px">'
        "<thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>"
    ).format(label, names, Markup("").join(body))


def log_axis(axis, values, crowded: bool = False) -> None:
    """A logarithmic axis with plain numbers at 1, 2 and 5, or at the powers of ten alone where many of them are in view.

    `crowded` where there is less room for them than usual.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    values = [value for value in values if np.isfinite(value) and value > 0]
    (axis.axes.set_xscale if axis.axis_name == "x" else axis.axes.set_yscale)("log")
    wide = np.log10(max(values) / min(values)) > (1.3 if crowded else 2) if values else False
    axis.set_major_locator(LogLocator(subs=(1,) if wide else (1, 2, 5)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"))


def label_ends(plot, ends: list[tuple[float, float, str, str, bool]], room: tuple[str, ...] = ()) -> None:
    """Names at the right of a chart, joined to the ends of their lines and moved apart where they would overlap.

    Args:
        plot: its lines are drawn and its limits are final.
        ends: (x, y, name, family, bold) of each line.
        room: more names that there is room for, so that panels beside each other are equally wide.
    """
    from scipy.optimize import isotonic_regression

    figure, size, distance = plot.figure, 7, 14
    ends = sorted(ends, key=lambda end: end[1])
    texts = [
        plot.annotate(
            name,
            (x, y),
            (1, 0.5),
            textcoords="axes fraction",
            annotation_clip=False,
            in_layout=False,
            va="center",
            fontsize=size,
            fontweight="bold" if bold else "normal",
            color=WORDS.get(family, MUTED),
            arrowprops={
                "arrowstyle": "-",
                "color": COLOURS.get(family, MUTED),
                "linewidth": 0.9 if bold else 0.5,
                "alpha": 0.9 if bold else 0.5,
                "relpos": (0, 0.5),
                "shrinkA": 1,
                "shrinkB": 2,
            },
        )
        for x, y, name, family, bold in ends
    ]
    point = figure.dpi / 72
    measured = [plot.text(0, 0, name, fontsize=size, fontweight="bold") for name in {*room, *(end[2] for end in ends)}]
    widest = max((text.get_window_extent().width for text in measured), default=0)
    for text in measured:
        text.remove()
    figure.get_layout_engine().set(rect=(0, 0, 1 - (widest + distance * point) / figure.bbox.width, 1))
    figure.canvas.draw()  # how high the axes are is known only then
    box = plot.get_window_extent()
    wanted = np.array([plot.transData.transform((x, y))[1] - box.y0 for x, y, *_ in ends]).clip(0, box.height)
    gap = min(1.3 * size * point, box.height / max(len(ends) - 1, 1))
    # Less the room of the names below it, each wanted height may be any, but no lower than the last: the nearest such heights.
    below = gap * np.arange(len(ends))
    heights = isotonic_regression(wanted - below).x.clip(0, box.height - below[-1]) + below if ends else []
    for text, height in zip(texts, heights, strict=True):
        text.set_position((1 + distance * point / box.width, height / box.height))


def heatmap(values: pd.DataFrame, families: dict[str, str], title: str, label: str, plain: tuple[str, ...] = ()) -> Markup:
    """A table whose cells are the darker the higher their value; the best of each column is bold.

    Args:
        values: shares, higher is better, with a row for each model and a column for each place, both in the order wanted; NaN
            where there is none.
        families: of each model.
        title: what the columns are, above their names.
        label: what the table shows, in words.
        plain: columns without colour: a scale of their own.
    """
    coloured = values.drop(columns=list(plain))
    low, high, best = coloured.min(axis=None), coloured.max(axis=None), values.max()
    head = Markup('<th scope="col" style="{}">{}</th>')
    # The name stands beside its family's dot, not in it: a narrow page shows the dot alone.
    line = Markup('<tr class="{}"><th scope="row" style="{}"><span class="family"></span>{}</th>{}</tr>')
    rows = []
    for model, row in values.iterrows():
        weights = {name: 0 if name in plain else (value - low) / (high - low or 1) for name, value in row.items()}
        cells = [_heat(value, weights[name], number(value, 3) == number(best[name], 3)) for name, value in row.items()]
        rows.append(line.format(families.get(model, ""), TIGHT, breakable(model), Markup("").join(cells)))
    return Markup(
        '<div class="scroll" tabindex="0" role="region" aria-label="{}"><table style="font-size:13px">'
        '<thead><tr class="groups"><th></th><th scope="colgroup" colspan="{}">{}</th></tr><tr>{}</tr></thead>'
        "<tbody>{}</tbody></table></div>"
    ).format(
        label,
        len(values.columns),
        title,
        Markup("").join(head.format(TIGHT, name) for name in ["Model", *values.columns]),
        Markup("").join(rows),
    )


def _heat(value: float, weight: float, best: bool) -> Markup:
    if not np.isfinite(value):
        return Markup('<td class="missing" style="{}">–</td>').format(TIGHT)
    opacity = round(255 * 0.75 * weight)  # the darkest cell still bears dark letters
    cell = Markup('<td class="number{}" style="{};background:{}{:02x}">{}</td>')
    return cell.format(" best" if best else "", TIGHT, HEAT, opacity, number(value, 3))


def curve(study, dataset: str, name: str) -> pd.DataFrame:
    """A curve of each model of a data set, the mean over its seeds.

    Returns:
        A row for each model, condition, draw and place, in the order of the runs: model, family, condition, draw, at, value, low
        and high (from the lowest to the highest end of the seeds' intervals, NaN where there are none) and n.
    """
    rows = study.curves[
        (study.curves["dataset"] == dataset) & (study.curves["curve"] == name) & np.isfinite(study.curves["value"])
    ]
    found = rows.groupby(["model", "family", "condition", "draw", "at"], sort=False, as_index=False)
    return found.agg(value=("value", "mean"), low=("ci_low", "min"), high=("ci_high", "max"), n=("n", "max"))


def stack(*parts: Markup | None) -> Markup:
    """Charts, tables and words below each other; a part that is None is left out."""
    shown = Markup("").join(Markup("<div>{}</div>").format(part) for part in parts if part)
    return Markup('<div class="panels" style="grid-template-columns:minmax(0,1fr)">{}</div>').format(shown)


def heading(study, dataset: str) -> Markup:
    """The name of the data set above its charts, where the study has several."""
    return Markup("<h4>{}</h4>").format(dataset) if len(study.datasets) > 1 else Markup("")


def gallery(pictures: list[tuple[str, str, str, str]], alt: str, kind: str = "") -> Markup:
    """Pictures side by side, each above its name.

    Args:
        pictures: (name, family, data URI, remark after the name or "").
        alt: what they show, for those who cannot see them.
        kind: "wide" for pictures that are wider than high.
    """
    cell = Markup('<figure class="{}"><img src="{}" alt="{}"><figcaption>{} <small>{}</small></figcaption></figure>')
    cells = [cell.format(family, picture, f"{alt}: {name}", name, note) for name, family, picture, note in pictures]
    return Markup('<div class="pictures {}">{}</div>').format(kind, Markup("").join(cells))
