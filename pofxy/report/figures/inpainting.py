"""Inpainting

A mask hides a part of each test image, and the model fills it in. The error is the mean squared difference over the hidden
pixels. It rewards the mean of all plausible completions rather than one sharp completion. Labels: the share of filled images that
the feature net still assigns to their class, which rewards a sharp completion if it is right. `independent_pixels` fills each
pixel from that pixel's own distribution: a model that is no better makes no use of the visible part. The best of each column is
bold. The pictures show test images and, for each mask, the model's input, with the hidden part in gray, and its completion.
"""

import numpy as np
import pandas as pd
from markupsafe import Markup

from pofxy.report.charts.curves import families_of, mean_curves
from pofxy.report.charts.gallery import gallery, model_pictures
from pofxy.report.charts.layout import stack
from pofxy.report.charts.tables import BOLD, number_table
from pofxy.report.study import Study
from pofxy.report.wording import decimals, interval, number

ORDER = 54
PICTURE = "pictures/inpaintings.png"
# Curves, each with its name and whether higher is better.
CURVES = {"inpainting": ("error", False), "inpainting_labels": ("labels", True)}


def inpainting(study: Study, dataset: str) -> Markup | None:
    """A table and pictures; None where no model fills in."""
    pictures = model_pictures(study, dataset, PICTURE)
    pictures.sort(key=lambda picture: picture.family == "reference")
    return stack(_table(study, dataset), gallery(pictures, "images with a part filled in", "wide"))


def _table(study: Study, dataset: str) -> Markup | None:
    """Models by masks, for the error and for the labels; the best of the first column on top, references last."""
    families: dict[str, str] = {}
    columns: list[tuple[Markup, pd.DataFrame, bool]] = []
    for curve, (name, higher_is_better) in CURVES.items():
        rows = mean_curves(study, dataset, curve)
        families |= families_of(rows)
        for mask, masked in rows.groupby("condition", sort=False):
            head = Markup("{}<br><small>{}</small>").format(mask, name)
            columns.append((head, masked.set_index("model"), higher_is_better))
    if not columns:
        return None
    _, first, higher_is_better = columns[0]
    loss = -first["value"] if higher_is_better else first["value"]
    order = sorted(families, key=lambda model: (families[model] == "reference", loss.get(model, np.inf)))
    cells = [_cells(masked, higher) for _, masked, higher in columns]
    rows = [(model, families[model], [column.get(model, "") for column in cells]) for model in order]
    return number_table(f"inpainting on {dataset}", [head for head, *_ in columns], rows)


def _cells(masked: pd.DataFrame, higher_is_better: bool) -> dict[str, tuple[Markup, str]]:
    """The cell of each model, of one mask: its value above its interval, the best in bold; references take no part."""
    places = decimals(masked["value"])
    own = masked[masked["family"] != "reference"]["value"]
    best = own.max() if higher_is_better else own.min()
    cells = {}
    columns = (masked[name] for name in ("family", "value", "low", "high"))
    for model, family, value, low, high in zip(masked.index, *columns, strict=True):
        text = Markup("{}<small>{}</small>").format(number(value, places), interval(low, high, places))
        is_best = family != "reference" and value == best
        cells[str(model)] = (text, BOLD if is_best else "")
    return cells
