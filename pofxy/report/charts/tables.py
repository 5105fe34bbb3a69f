"""HTML tables with a row per model."""

from collections.abc import Iterable, Sequence

from markupsafe import Markup

from pofxy.report.wording import breakable

# A padding that lets ten columns stand beside each other.
TIGHT = "padding:6px 8px"
# Text from the bottom to the top, so that a column is as narrow as its numbers.
UPRIGHT = "writing-mode:vertical-rl;transform:rotate(180deg)"
BOLD = "font-weight:700"

# The text of a cell ("" for none), or the text and its CSS.
Cell = str | Markup | tuple[str | Markup, str]


def number_table(label: str, head: Sequence[str | Markup], rows: Iterable[tuple[str, str, Sequence[Cell]]]) -> Markup:
    """A table of numbers that are text already.

    Args:
        label: what it shows, in words.
        head: names of the columns after the first.
        rows: (model, family, cells).
    """
    names = Markup("").join(Markup('<th scope="col" style="{}">{}</th>').format(TIGHT, name) for name in ["Model", *head])
    body = (model_row(model, family, map(_number_cell, cells)) for model, family, cells in rows)
    return scrolling(label, Markup("<tr>{}</tr>").format(names), body, "scroll small")


def scrolling(label: str, head: Markup, rows: Iterable[Markup], css_class: str = "scroll") -> Markup:
    """A table that scrolls where the page is too narrow for it.

    Args:
        label: what it shows, in words.
        head: the rows of its head.
        rows: the rows of its body.
        css_class: "scroll" for a table as wide as the page, "scroll small" for one as wide as its columns.
    """
    return Markup(
        '<div class="{}" tabindex="0" role="region" aria-label="{}"><table style="font-size:13px">'
        "<thead>{}</thead><tbody>{}</tbody></table></div>"
    ).format(css_class, label, head, Markup("").join(rows))


def model_row(model: str, family: str, cells: Iterable[Markup], style: str = TIGHT) -> Markup:
    """The row of a model: its name beside the dot of its family, and its cells."""
    # The name stands beside its family's dot, not in it: a narrow page shows the dot alone.
    row = Markup('<tr class="{}"><th scope="row" style="{}"><span class="family"></span>{}</th>{}</tr>')
    return row.format(family, style, breakable(model), Markup("").join(cells))


def missing_cell(style: str = TIGHT) -> Markup:
    """The cell of a value that does not exist."""
    return Markup('<td class="missing" style="{}">–</td>').format(style)


def upright_header(name: str, style: str, hint: str = "") -> Markup:
    """The header of a narrow column: its name from the bottom to the top, and a longer name that a mouse over it shows."""
    header = Markup('<th scope="col" style="{}" title="{}"><span style="{}">{}</span></th>')
    return header.format(style, hint or name, UPRIGHT, name)


def _number_cell(cell: Cell) -> Markup:
    text, style = cell if isinstance(cell, tuple) else (cell, "")
    if text == "":
        return missing_cell()
    return Markup('<td class="number" style="{};{}">{}</td>').format(TIGHT, style, text)
