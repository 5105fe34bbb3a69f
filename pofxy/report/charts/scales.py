"""Scales of axes: linear, logarithmic, or logarithmic on both sides of zero."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axis import XAxis, YAxis


def scale_for(values: pd.Series) -> str:
    """The scale on which these values can be distinguished: "linear", "log", or "symlog" where some are not positive."""
    sizes = np.abs(values[values != 0])
    if len(sizes) < 2 or (sizes.max() / np.median(sizes) < 8 and sizes.max() / sizes.min() < 30):
        return "linear"
    return "log" if values.min() > 0 else "symlog"


def symlog_axis(axis: "XAxis | YAxis", rows: pd.DataFrame) -> None:
    """An axis that is logarithmic on both sides of zero; linear where intervals hold zero.

    Args:
        axis: the x or the y axis of a plot.
        rows: value, low and high of what it shows.
    """
    from matplotlib.ticker import FuncFormatter

    # A value whose interval holds 0 cannot be distinguished from 0.
    clear = rows[(rows["low"] > 0) | (rows["high"] < 0)]["value"].abs()
    smallest = clear.min() if len(clear) else rows["value"].abs().max()
    set_scale = axis.axes.set_xscale if axis.axis_name == "x" else axis.axes.set_yscale
    set_scale("symlog", linthresh=10 ** np.floor(np.log10(smallest)), linscale=0.6)
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))


def log_axis(axis: "XAxis | YAxis", values: Iterable[float], decades: float = 2) -> None:
    """A logarithmic axis with plain numbers at 1, 2 and 5.

    Args:
        axis: the x or the y axis of a plot.
        values: what it shows; those that are not positive are ignored.
        decades: where the values span more powers of ten than this, only the powers of ten have numbers.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    positive = [value for value in values if np.isfinite(value) and value > 0]
    set_scale = axis.axes.set_xscale if axis.axis_name == "x" else axis.axes.set_yscale
    set_scale("log")
    wide = bool(positive) and np.log10(max(positive) / min(positive)) > decades
    axis.set_major_locator(LogLocator(subs=(1,) if wide else (1, 2, 5)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"))
