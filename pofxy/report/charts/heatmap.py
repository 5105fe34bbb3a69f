"""Tables whose cells are the darker the higher their value."""

from typing import cast

import numpy as np
import pandas as pd
from markupsafe import Markup

from pofxy.report.charts.colors import HEAT, shade
from pofxy.report.charts.tables import TIGHT, missing_cell, model_row, scrolling
from pofxy.report.wording import number

DECIMALS = 3


def heatmap(values: pd.DataFrame, families: dict[str, str], title: str, label: str, uncolored: tuple[str, ...] = ()) -> Markup:
    """A table whose cells are the darker the higher their value; the best of each column is bold.

    Args:
        values: shares, higher is better, a row per model and a column per condition, both in the order wanted; NaN for no value.
        families: of each model.
        title: what the columns are, above their names.
        label: what the table shows, in words.
        uncolored: columns without color, which have a scale of their own.
    """
    colored = values.drop(columns=list(uncolored))
    low = cast("float", colored.min(axis=None))
    high = cast("float", colored.max(axis=None))
    weights = (colored - low) / (high - low or 1)
    weights = weights.reindex(columns=values.columns, fill_value=0.0)
    best = values.max()
    rows = [
        model_row(
            str(model),
            families.get(str(model), ""),
            [_cell(row[name], weight[name], best[name]) for name in values.columns],
        )
        for (model, row), (_, weight) in zip(values.iterrows(), weights.iterrows(), strict=True)
    ]
    header = Markup('<th scope="col" style="{}">{}</th>')
    names = Markup("").join(header.format(TIGHT, name) for name in ["Model", *values.columns])
    head = Markup('<tr class="groups"><th></th><th scope="colgroup" colspan="{}">{}</th></tr><tr>{}</tr>')
    return scrolling(label, head.format(len(values.columns), title, names), rows)


def _cell(value: float, weight: float, best: float) -> Markup:
    if not np.isfinite(value):
        return missing_cell()
    text = number(value, DECIMALS)
    is_best = text == number(best, DECIMALS)
    cell = Markup('<td class="number{}" style="{};background:{}">{}</td>')
    return cell.format(" best" if is_best else "", TIGHT, shade(HEAT, weight), text)
