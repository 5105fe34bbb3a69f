"""Inpainting

A part of each test image is hidden, and the model fills it in. The error is the mean squared difference over the hidden pixels;
it rewards the mean of all that is possible, not one sharp guess. Labels: the share of filled images that a classifier still takes
for their class, which rewards the sharp guess if it is right. `independent_pixels` fills in what it knows of each pixel alone:
a model that is no better has not looked at the rest of the image. The best of each column is bold. The pictures show test images,
and for each mask what the model is given, with the hidden part in grey, and what it makes of it.
"""

import numpy as np
from markupsafe import Markup

from pofxy.report import chart
from pofxy.report.wording import decimals, interval, number

ORDER = 54
PICTURE = "pictures/inpaintings.png"
# Curves, each with its name and whether higher is better.
CURVES = {"inpainting": ("error", False), "inpainting_labels": ("labels", True)}
BOLD = "font-weight:700"


def inpainting(study):
    """A table and pictures for each data set; None where no model fills in."""
    parts = []
    for dataset in study.datasets:
        table = _table(study, dataset)
        pictured = sorted(study.pictured(dataset, PICTURE), key=lambda pair: pair[1] == "reference")
        pictures = [(model, family, study.picture(dataset, model, PICTURE), "") for model, family in pictured]
        gallery = chart.gallery(pictures, "images with a part filled in", "wide") if pictures else None
        if table or gallery:
            parts.append(chart.heading(study, dataset) + chart.stack(table, gallery))
    return Markup("").join(parts) or None


def _table(study, dataset: str) -> Markup | None:
    found = {name: rows for name in CURVES if len(rows := chart.curve(study, dataset, name))}
    if not found:
        return None
    families = {row.model: row.family for rows in found.values() for row in rows.itertuples()}
    columns = [(name, mask) for name, rows in found.items() for mask in rows["condition"].unique()]
    values, texts, best = {}, {}, {}
    for name, mask in columns:
        rows = found[name][found[name]["condition"] == mask]
        places = decimals(rows["value"])
        values[name, mask] = rows.set_index("model")["value"]
        texts[name, mask] = {
            row.model: Markup("{}<small>{}</small>").format(number(row.value, places), interval(row.low, row.high, places))
            for row in rows.itertuples()
        }
        # References take no part.
        own = rows[rows["family"] != "reference"]["value"]
        best[name, mask] = (own.max() if CURVES[name][1] else own.min()) if len(own) else np.nan
    first = values[columns[0]] * (-1 if CURVES[columns[0][0]][1] else 1)
    order = sorted(families, key=lambda model: (families[model] == "reference", first.get(model, np.inf)))
    rows = []
    for model in order:
        cells = []
        for column in columns:
            bold = families[model] != "reference" and values[column].get(model) == best[column]
            cells.append((texts[column].get(model, ""), BOLD if bold else ""))
        rows.append((model, families[model], cells))
    head = [Markup("{}<br><small>{}</small>").format(mask, CURVES[name][0]) for name, mask in columns]
    return chart.table(f"inpainting on {dataset}", head, rows)
