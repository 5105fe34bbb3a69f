"""Images of a text

What a model draws when it is asked in words, a column for each class: first in wordings that it was trained on, then in wordings
that it never saw, each of its words known or not. The number is the share of images in which the feature net sees the class that
was asked for, of seen and of held-out wordings. `python scripts/draw.py` draws whatever one types.
"""

from markupsafe import Markup

from pofxy.report import chart
from pofxy.report.wording import number

ORDER = 13
PICTURE = "pictures/prompts.png"
METRICS = {"text_agreement": "seen", "text_agreement_held_out": "held out"}


def text_to_image(study):
    """A picture and its prompts for each model that draws from text; None where none does."""
    parts = []
    for dataset in study.datasets:
        pictures = [
            (model, family, study.picture(dataset, model, PICTURE), _remark(study, dataset, model))
            for model, family in study.pictured(dataset, PICTURE)
        ]
        parts += [chart.heading(study, dataset) + chart.gallery(pictures, "images of prompts", "wide")] if pictures else []
    return Markup("").join(parts) or None


def _remark(study, dataset: str, model: str) -> str:
    """The scores, and the prompts of one column, from the top."""
    found = study.summary[(study.summary["dataset"] == dataset) & (study.summary["model"] == model)]
    scores = [f"{said} {number(row.value, 3)}" for m, said in METRICS.items() for row in found[found["metric"] == m].itertuples()]
    rows = study.evaluation(dataset, model, study.first_seed(dataset, model)).get("prompts") or []
    asked = ", ".join(f"“{row[min(3, len(row) - 1)]}”" for row in rows if row)
    return "; ".join(filter(None, [", ".join(scores), f"rows as in {asked}" if asked else ""]))
