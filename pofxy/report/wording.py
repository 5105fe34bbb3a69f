"""Numbers and docstrings as a reader wants them."""

import ast
import math
import re
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup, escape

from pofxy.study import catalog


def decimals(values) -> int:
    """How many decimals give the typical value of a column three significant digits: one number for all of it, so they align."""
    sizes = sorted(abs(value) for value in values if math.isfinite(value) and value)
    if not sizes:
        return 0
    return min(max(2 - math.floor(math.log10(sizes[len(sizes) // 2])), 0), 5)


def number(value: float, places: int) -> str:
    """A number with a true minus sign, thousands apart, and a word for what is none."""
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value and abs(value) < 0.5 * 10**-places:
        return f"{value:.1g}".replace("-", "−")
    return f"{value:,.{places}f}".replace("-", "−")


def interval(low: float, high: float, places: int) -> str:
    """As in 0.962 – 0.991; "" where one end is not known."""
    return "" if math.isnan(low) or math.isnan(high) else f"{number(low, places)} – {number(high, places)}"


def position(value: float) -> str:
    """A place between two references with two decimals, and no minus before what is 0."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if math.isnan(seconds):
        return "an unknown time"
    if seconds < 90:
        return f"{seconds:.2g}\u00a0s" if seconds < 10 else f"{seconds:.0f}\u00a0s"
    return f"{seconds / 60:.0f}\u00a0min" if seconds < 5400 else f"{seconds / 3600:.1f}\u00a0h"


@dataclass(frozen=True)
class Prose:
    """A module's docstring: its first line, and the rest as ("text" or "formula", content) blocks."""

    title: str
    blocks: list[tuple[str, str]]


def docstring(path: Path) -> Prose:
    """The docstring of a Python file, which is not imported. Indented paragraphs are formulas and keep their lines."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or path.stem
    title, _, rest = text.partition("\n")
    blocks = []
    for block in rest.split("\n\n"):
        if block.strip():
            formula = all(line.startswith("    ") for line in block.splitlines() if line.strip())
            blocks.append(("formula", _dedent(block)) if formula else ("text", " ".join(block.split())))
    return Prose(title, blocks)


def name_of(summary: str) -> str:
    """The name that a summary line begins with: what stands before its colon, or all of it."""
    return summary.split(": ")[0].strip().rstrip(".")


def code(text: str) -> Markup:
    """Text in which what stands between backticks is set as code."""
    return Markup(re.sub(r"`+([^`]+)`+", r"<code>\1</code>", str(escape(text))))


def breakable(name: str) -> Markup:
    """A name that a narrow column may break after each underscore."""
    return Markup(str(escape(name)).replace("_", "_<wbr>"))


def metric_name(metric: str) -> str:
    """The name that a metric's docstring gives it; its id where there is no such file any more."""
    entry = catalog.metrics().get(metric)
    return name_of(entry.summary) if entry else metric.replace("_", " ")


def _dedent(block: str) -> str:
    return "\n".join(line.removeprefix("    ") for line in block.strip("\n").splitlines())
