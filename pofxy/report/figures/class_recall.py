"""Recall by class

Recall is the share of a class's test images that a model recognizes, in percent. The darker a cell, the more images of the class
are missed. The model with the best mean over the classes stands on top, and each model's weakest class is framed. A column that
is dark from top to bottom is a class that is hard for all models. A dark cell in a pale column is a weakness of that model alone.
Each model's first seed is shown.
"""

import numpy as np
from markupsafe import Markup

from pofxy.report.charts.colors import FAMILY_COLORS, shade
from pofxy.report.charts.tables import model_row, scrolling, upright_header
from pofxy.report.study import Study
from pofxy.report.wording import number

ORDER = 23
# Letters of a class's name, and the number of classes from which on percents have no decimals.
LETTERS = 14
MANY = 15
CELL = "padding:5px 3px;text-align:center;vertical-align:bottom;font-size:12.5px"
HEAD = "padding:4px 8px;font-size:12.5px"
FRAME = ";box-shadow:inset 0 0 0 1.5px currentColor"


def class_recall(study: Study, dataset: str) -> Markup | None:
    """A table of models by classes; None where nothing was classified."""
    classifiers = study.classifiers(dataset)
    if not classifiers:
        return None
    truth = study.truth(dataset)
    classes = np.unique(truth)
    names = dict(enumerate(study.class_names(dataset)))
    recalls = []
    for model, family, seed in classifiers:
        right = study.predictions(dataset, model, seed)[0] == truth
        recalls.append((model, family, np.array([right[truth == k].mean() for k in classes])))
    recalls.sort(key=lambda row: -row[2].mean())
    decimals = 0 if len(classes) > MANY else 1
    headers = Markup("").join(_header(str(names.get(k, k))) for k in classes)
    head = Markup('<tr><th scope="col" style="width:1%;{}">Model</th>{}<th scope="col" style="{}">mean</th></tr>').format(
        HEAD, headers, CELL
    )
    rows = [model_row(model, family, _cells(recall, decimals), HEAD) for model, family, recall in recalls]
    return scrolling(f"recall of each class on {dataset}", head, rows)


def _header(name: str) -> Markup:
    short = name if len(name) <= LETTERS else name[: LETTERS - 1] + "…"
    if len(name) > 3:
        return upright_header(short, CELL, name)
    return Markup('<th scope="col" style="{}">{}</th>').format(CELL, name)


def _cells(recall: np.ndarray, decimals: int) -> list[Markup]:
    """The recall of each class, (K,), and their mean."""
    cells = [_cell(share, share == recall.min() < recall.max(), decimals) for share in recall]
    mean = Markup('<td style="{}"><span class="number best">{}</span></td>').format(CELL, number(100 * recall.mean(), 1))
    return [*cells, mean]


def _cell(share: float, weakest: bool, decimals: int) -> Markup:
    # The square root makes a class that is missed now and then differ from a class that never is.
    color = shade(FAMILY_COLORS["generative"], np.sqrt(1 - share))
    style = f"{CELL};background:{color}{FRAME if weakest else ''}"
    text = Markup("<strong>{}</strong>" if weakest else "{}").format(number(100 * share, decimals))
    return Markup('<td style="{}"><span class="number">{}</span></td>').format(style, text)
