"""Charts, tables and text side by side and below each other."""

from collections.abc import Iterable

from markupsafe import Markup

# The least widths of panels, in pixels: two small ones beside each other on a phone, the usual ones, two in a row on a page.
NARROW = 200
USUAL = 250
BROAD = 310


def grid(panels: Iterable[Markup | None], least_width: int = USUAL) -> Markup | None:
    """Panels side by side, as many as there is room for; None where there is no panel.

    Args:
        panels: those that are None are left out.
        least_width: of a panel, in pixels.
    """
    return _panels(panels, f"repeat(auto-fill,minmax({least_width}px,1fr))")


def stack(*parts: Markup | None) -> Markup | None:
    """Charts, tables and text below each other; parts that are None are left out, and None stands for no part at all."""
    return _panels(parts, "minmax(0,1fr)")


def _panels(parts: Iterable[Markup | None], columns: str) -> Markup | None:
    cells = Markup("").join(Markup("<div>{}</div>").format(part) for part in parts if part)
    return Markup('<div class="panels" style="grid-template-columns:{}">{}</div>').format(columns, cells) if cells else None


def note(text: str | Markup) -> Markup:
    """A remark in small print."""
    return Markup('<p class="note">{}</p>').format(text)


def folded(summary: str, content: Markup) -> Markup:
    """Content that the reader opens by choosing its summary."""
    return Markup("<details><summary>{}</summary>{}</details>").format(summary, content)
