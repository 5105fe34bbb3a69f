"""Numbers, names and docstrings as the report shows them."""

import ast
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from pofxy.study import catalog

if TYPE_CHECKING:
    from pofxy.report.study import SummaryRow

NO_BREAK = "\u00a0"


def decimals(values: Iterable[float]) -> int:
    """The number of decimals that gives the median of a column three significant digits; one number per column aligns it."""
    sizes = sorted(abs(value) for value in values if math.isfinite(value) and value)
    if not sizes:
        return 0
    return min(max(2 - math.floor(math.log10(sizes[len(sizes) // 2])), 0), 5)


def number(value: float, places: int) -> str:
    """A number with a minus sign in place of the hyphen and with commas between thousands."""
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value and abs(value) < 0.5 * 10**-places:
        return f"{value:.1g}".replace("-", "−")
    return f"{value:,.{places}f}".replace("-", "−")


def interval(low: float, high: float, places: int) -> str:
    """An interval such as 0.962 – 0.991; "" where one end is unknown."""
    return "" if math.isnan(low) or math.isnan(high) else f"{number(low, places)} – {number(high, places)}"


def normalized(value: float) -> str:
    """A normalized score with two decimals, without a minus sign before 0.00."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def p_text(p: float) -> str:
    """A p-value, as in p = 0.03."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def bound_sign(row: "SummaryRow") -> str:
    """≤ or ≥ before a bound on the true value, "" before any other value; `row` is a row of `Study.summary`."""
    if not row.bound:
        return ""
    return "≥ " if row.higher_is_better else "≤ "


def duration(seconds: float) -> str:
    """A time in seconds, minutes or hours, whichever suits its size."""
    if math.isnan(seconds):
        return "an unknown time"
    if seconds < 10:
        return f"{seconds:.2g}{NO_BREAK}s"
    if seconds < 90:
        return f"{seconds:.0f}{NO_BREAK}s"
    if seconds < 5400:
        return f"{seconds / 60:.0f}{NO_BREAK}min"
    return f"{seconds / 3600:.1f}{NO_BREAK}h"


@dataclass(frozen=True)
class Prose:
    """A module's docstring: its first line, and the rest as blocks ("text" or "formula", content)."""

    title: str
    blocks: list[tuple[str, str]]

    @property
    def name(self) -> str:
        """The name at the beginning of the title."""
        return name_of(self.title)

    @property
    def summary(self) -> str:
        """The sentence after the name, with a capital letter; may be empty."""
        summary = self.title.partition(": ")[2]
        return summary[:1].upper() + summary[1:]


def docstring(path: Path) -> Prose:
    """The docstring of a Python file, without importing it. Indented paragraphs are formulas and keep their lines."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or path.stem
    title, _, rest = text.partition("\n")
    blocks = []
    for block in rest.split("\n\n"):
        if not block.strip():
            continue
        if all(line.startswith("    ") for line in block.splitlines() if line.strip()):
            blocks.append(("formula", _dedent(block)))
        else:
            blocks.append(("text", " ".join(block.split())))
    return Prose(title, blocks)


def name_of(summary: str) -> str:
    """The name at the beginning of a summary line: the part before its colon, or all of it."""
    return summary.split(": ")[0].strip().rstrip(".")


def code(text: str) -> Markup:
    """Text as HTML, with the parts between backticks set as code."""
    return Markup(re.sub(r"`+([^`]+)`+", r"<code>\1</code>", str(escape(text))))


def breakable(name: str) -> Markup:
    """A name that a narrow column may break after each underscore."""
    return Markup(str(escape(name)).replace("_", "_<wbr>"))


def metric_name(metric: str) -> str:
    """The name that a metric's docstring gives it; its id where it has no file any more."""
    entry = catalog.metrics().get(metric)
    return name_of(entry.summary) if entry else metric.replace("_", " ")


def _dedent(block: str) -> str:
    return "\n".join(line.removeprefix("    ") for line in block.strip("\n").splitlines())
