"""Differences in accuracy and their significance

By how many percentage points the model of the row is more accurate than the model of the column; the most accurate comes first.
Colored cells with a bold number are significant: blue where the row is better, orange where it is worse. Gray numbers may be due
to chance. The test is McNemar's exact test, which uses the images that only one of the two models classifies correctly. Its
p-values are adjusted for the number of pairs by Holm's method. It compares the trained models of each first seed, and does not
see the variation due to another seed or other training images.
"""

from itertools import combinations

import numpy as np
from markupsafe import Markup

from pofxy.report.charts.colors import FAMILY_COLORS
from pofxy.report.charts.layout import stack
from pofxy.report.charts.tables import scrolling, upright_header
from pofxy.report.significance import holm, mcnemar
from pofxy.report.study import Study
from pofxy.report.wording import breakable, number, p_text

ORDER = 25
LEVEL = 0.05
AHEAD = FAMILY_COLORS["discriminative"]
BEHIND = FAMILY_COLORS["generative"]
CELL = "padding:5px 1px;text-align:center;vertical-align:bottom;font-size:11px"
HEAD = "padding:4px 8px;font-size:12.5px"


def significance(study: Study, dataset: str) -> Markup | None:
    """A square of all pairs; None where no two models classify."""
    classifiers = study.classifiers(dataset)
    if len(classifiers) < 2:
        return None
    truth = study.truth(dataset)
    right = {model: study.predictions(dataset, model, seed)[0] == truth for model, _, seed in classifiers}
    right = dict(sorted(right.items(), key=lambda pair: -pair[1].mean()))
    pairs = list(combinations(right, 2))
    p_values = dict(zip(pairs, holm(np.array([mcnemar(right[a], right[b]) for a, b in pairs]))))
    significant = sum(p < LEVEL for p in p_values.values())
    sentence = Markup("<p>{} of {} pairs differ significantly, on {} test images (adjusted p &lt; {:g}).</p>")
    summary = sentence.format(significant, len(pairs), number(len(truth), 0), LEVEL)
    return stack(summary, _square(dataset, right, p_values))


def _square(dataset: str, right: dict[str, np.ndarray], p_values: dict[tuple[str, str], float]) -> Markup:
    """A row and a column per model, the most accurate first; `right` says of each model which images it classifies correctly."""
    accuracy = {model: correct.mean() for model, correct in right.items()}
    largest = max(accuracy.values()) - min(accuracy.values())
    p_values = p_values | {(b, a): p for (a, b), p in p_values.items()}
    headers = Markup("").join(upright_header(name, CELL) for name in ("accuracy, %", *accuracy))
    head = Markup('<tr><th scope="col" style="width:1%;{}">Model</th>{}</tr>').format(HEAD, headers)
    row = Markup('<tr><th scope="row" style="{}">{}</th><td style="{}"><span class="number">{}</span></td>{}</tr>')
    rows = [
        row.format(
            HEAD,
            breakable(a),
            CELL,
            number(100 * accuracy[a], 1),
            Markup("").join(_cell(accuracy[a] - accuracy[b], largest, p_values.get((a, b))) for b in accuracy),
        )
        for a in accuracy
    ]
    return scrolling(f"differences in accuracy on {dataset}", head, rows)


def _cell(difference: float, largest: float, p: float | None) -> Markup:
    """The cell of a pair.

    Args:
        difference: by how much the row is more accurate than the column.
        largest: of all differences.
        p: adjusted p-value; None for a model and itself.
    """
    if p is None:
        return Markup('<td style="{};background:var(--wash)"></td>').format(CELL)
    text = f"{100 * difference:+.1f}".replace("-", "−") if difference else "0.0"
    if p < LEVEL:
        opacity = round(50 + 110 * abs(difference) / largest)
        color = f"{AHEAD if difference > 0 else BEHIND}{opacity:02x}"
        cell = Markup('<td style="{};background:{}" title="adjusted {}"><strong class="number">{}</strong></td>')
    else:
        color = "var(--muted)"
        cell = Markup('<td style="{};color:{}" title="adjusted {}"><span class="number">{}</span></td>')
    return cell.format(CELL, color, p_text(p), text)
