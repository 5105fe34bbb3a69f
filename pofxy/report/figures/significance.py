"""Differences in accuracy

By how many percentage points the model of the row is more accurate than that of the column; the most accurate stands first. A
coloured cell with a bold number is a difference that chance in the test images hardly explains: blue where the row is ahead,
orange where it is behind. A grey number may be chance. The test is McNemar's, exact: it looks at the images that only one of the
two gets right. Its p-values are adjusted for the number of pairs by Holm's method. It compares the fitted models of each one's
first seed; what another seed or other training images would change, it does not see.
"""

from itertools import combinations

from markupsafe import Markup

from pofxy.report import chart
from pofxy.report.significance import holm, mcnemar
from pofxy.report.wording import breakable, number

ORDER = 25
LEVEL = 0.05
AHEAD, BEHIND = chart.COLOURS["discriminative"], chart.COLOURS["generative"]
UPRIGHT = "writing-mode:vertical-rl;transform:rotate(180deg)"
CELL = "padding:5px 1px;text-align:center;vertical-align:bottom;font-size:11px"
HEAD = "padding:4px 8px;font-size:12.5px"


def significance(study):
    """A square of all pairs for each data set; None where no two models classify."""
    parts = [chart.heading(study, dataset) + drawn for dataset in study.datasets if (drawn := _square(study, dataset))]
    return Markup("").join(parts) or None


def _square(study, dataset: str) -> Markup | None:
    found = study.classifiers(dataset)
    if len(found) < 2:
        return None
    truth = study.truth(dataset)
    right = {model: study.predictions(dataset, model, seed)[0] == truth for model, _, seed in found}
    models = sorted(right, key=lambda model: -right[model].mean())
    pairs = list(combinations(models, 2))
    p = dict(zip(pairs, holm([mcnemar(right[a], right[b]) for a, b in pairs])))
    apart = sum(value < LEVEL for value in p.values())
    p |= {(b, a): value for (a, b), value in p.items()}
    largest = right[models[0]].mean() - right[models[-1]].mean()
    header = Markup('<th scope="col" style="{}"><span style="{}">{}</span></th>')
    row = Markup('<tr><th scope="row" style="{}">{}</th><td style="{}"><span class="number">{}</span></td>{}</tr>')
    rows = [
        row.format(
            HEAD,
            breakable(a),
            CELL,
            number(100 * right[a].mean(), 1),
            Markup("").join(_cell(right[a].mean() - right[b].mean(), largest, p.get((a, b))) for b in models),
        )
        for a in models
    ]
    return Markup(
        "<p>{} of {} pairs are apart, on {} test images (adjusted p &lt; {:g}).</p>"
        '<div class="scroll" tabindex="0" role="region" aria-label="differences in accuracy on {}"><table><thead><tr>'
        '<th scope="col" style="width:1%;{}">Model</th>{}{}</tr></thead><tbody>{}</tbody></table></div>'
    ).format(
        apart,
        len(pairs),
        number(len(truth), 0),
        LEVEL,
        dataset,
        HEAD,
        header.format(CELL, UPRIGHT, "accuracy, %"),
        Markup("").join(header.format(CELL, UPRIGHT, model) for model in models),
        Markup("").join(rows),
    )


def _cell(ahead: float, largest: float, p: float | None) -> Markup:
    """The cell of a pair: what the row is ahead, of at most `largest`, and its adjusted p-value; None for a model and itself."""
    if p is None:
        return Markup('<td style="{};background:var(--wash)"></td>').format(CELL)
    text = f"{100 * ahead:+.1f}".replace("-", "−") if ahead else "0.0"
    if p < LEVEL:
        colour = f"{AHEAD if ahead > 0 else BEHIND}{round(50 + 110 * abs(ahead) / largest):02x}"
        cell = Markup('<td style="{};background:{}" title="adjusted p {}"><strong class="number">{}</strong></td>')
    else:
        colour = "var(--muted)"
        cell = Markup('<td style="{};color:{}" title="adjusted p {}"><span class="number">{}</span></td>')
    return cell.format(CELL, colour, "< 0.001" if p < 0.001 else f"= {p:.2g}", text)
