"""Recall by class

The share of each class's test images that a model finds, its recall, in percent: the more are missed, the darker the cell. The
best mean over the classes stands on top, and each model's weakest class is framed. A column that is dark from top to bottom is a
class that is hard for everyone; a dark cell in a pale column is that model's own weakness. Each model's first seed is shown.
"""

import numpy as np
from markupsafe import Markup

from pofxy.report import chart
from pofxy.report.wording import breakable, number

ORDER = 23
LETTERS, MANY = 14, 15
UPRIGHT = "writing-mode:vertical-rl;transform:rotate(180deg)"
CELL = "padding:5px 3px;text-align:center;vertical-align:bottom;font-size:12.5px"
HEAD = "padding:4px 8px;font-size:12.5px"
FRAME = ";box-shadow:inset 0 0 0 1.5px currentColor"


def class_recall(study):
    """A table for each data set; None where nothing was classified."""
    parts = [chart.heading(study, dataset) + drawn for dataset in study.datasets if (drawn := _table(study, dataset))]
    return Markup("").join(parts) or None


def _table(study, dataset: str) -> Markup | None:
    found = study.classifiers(dataset)
    if not found:
        return None
    truth = study.truth(dataset)
    classes, names = np.unique(truth), dict(enumerate(study.class_names(dataset)))
    rows = []
    for model, family, seed in found:
        right = study.predictions(dataset, model, seed)[0] == truth
        rows.append((model, family, np.array([right[truth == k].mean() for k in classes])))
    rows.sort(key=lambda row: -row[2].mean())
    header = Markup("").join(_header(str(names.get(k, k))) for k in classes)
    # Whole percents where many columns must find room.
    body = Markup("").join(_row(*row, places=0 if len(classes) > MANY else 1) for row in rows)
    return Markup(
        '<div class="scroll" tabindex="0" role="region" aria-label="recall of each class on {}"><table>'
        '<thead><tr><th scope="col" style="width:1%;{}">Model</th>{}<th scope="col" style="{}">mean</th></tr></thead>'
        "<tbody>{}</tbody></table></div>"
    ).format(dataset, HEAD, header, CELL, body)


def _header(name: str) -> Markup:
    short = name if len(name) <= LETTERS else name[: LETTERS - 1] + "…"
    style = UPRIGHT if len(name) > 3 else ""
    return Markup('<th scope="col" style="{}" title="{}"><span style="{}">{}</span></th>').format(CELL, name, style, short)


def _row(model: str, family: str, recall: np.ndarray, places: int) -> Markup:
    cells = [_cell(share, share == recall.min() < recall.max(), places) for share in recall]
    mean = Markup('<td style="{}"><span class="number best">{}</span></td>').format(CELL, number(100 * recall.mean(), 1))
    # The name stands beside its family's dot, not in it: a narrow page shows the dot alone.
    row = Markup('<tr class="{}"><th scope="row" style="{}"><span class="family"></span>{}</th>{}{}</tr>')
    return row.format(family, HEAD, breakable(model), Markup("").join(cells), mean)


def _cell(share: float, weakest: bool, places: int) -> Markup:
    # The root tells a class that is missed now and then from one that never is; the darkest orange still bears dark letters.
    opacity = round(255 * 0.75 * np.sqrt(1 - share))
    style = f"{CELL};background:{chart.COLOURS['generative']}{opacity:02x}{FRAME if weakest else ''}"
    text = Markup("<strong>{}</strong>" if weakest else "{}").format(number(100 * share, places))
    return Markup('<td style="{}"><span class="number">{}</span></td>').format(style, text)
