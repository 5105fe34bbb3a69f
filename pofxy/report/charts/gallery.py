"""Images of several models side by side, each above the model's name."""

from typing import NamedTuple

from markupsafe import Markup

from pofxy.report.study import Study


class Picture(NamedTuple):
    """An image of a gallery: the name below it, the family, a data URI, and a remark after the name ("" for none)."""

    name: str
    family: str
    uri: str
    remark: str = ""


def gallery(pictures: list[Picture], alt: str, css_class: str = "") -> Markup | None:
    """Pictures side by side, each above its name; None where there is none.

    Args:
        pictures: in their order.
        alt: what they show, for readers who cannot see them.
        css_class: "wide" for pictures that are wider than high, "own" for pictures in their own size, "smooth" for pictures that
            are no enlarged pixels.
    """
    cell = Markup('<figure class="{}"><img src="{}" alt="{}"><figcaption>{} <small>{}</small></figcaption></figure>')
    cells = [cell.format(p.family, p.uri, f"{alt}: {p.name}", p.name, p.remark) for p in pictures]
    return Markup('<div class="pictures {}">{}</div>').format(css_class, Markup("").join(cells)) if cells else None


def model_pictures(study: Study, dataset: str, file: str) -> list[Picture]:
    """The image `file` of each model whose first seed has it, in the order of the runs."""
    pictured = study.pictured(dataset, file)
    return [Picture(model, family, study.picture(dataset, model, file)) for model, family in pictured]
