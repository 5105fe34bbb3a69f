"""Text to image

Samples of models that are conditioned on text, a column per class: first for wordings of the training captions, then for held-out
wordings, whose words may be known or unknown. The numbers are the share of samples that the feature net assigns to the class in
the text, for seen and for held-out wordings. `python scripts/draw.py` samples images for any text.
"""

from markupsafe import Markup

from pofxy.report.charts.gallery import gallery, model_pictures
from pofxy.report.study import Study
from pofxy.report.wording import number

ORDER = 13
PICTURE = "pictures/prompts.png"
METRICS = {"text_agreement": "seen", "text_agreement_held_out": "held out"}
# The column whose prompts are quoted.
COLUMN = 3


def text_to_image(study: Study, dataset: str) -> Markup | None:
    """A picture and its prompts per model that samples from text; None where none does."""
    pictures = [
        picture._replace(remark=_remark(study, dataset, picture.name)) for picture in model_pictures(study, dataset, PICTURE)
    ]
    return gallery(pictures, "images of prompts", "wide")


def _remark(study: Study, dataset: str, model: str) -> str:
    """The scores, and the prompts of one column, from the top."""
    scores = study.summary[(study.summary["dataset"] == dataset) & (study.summary["model"] == model)]
    values = [
        f"{wording} {number(value, 3)}"
        for metric, wording in METRICS.items()
        for value in scores[scores["metric"] == metric]["value"]
    ]
    rows = study.evaluation(dataset, model, study.first_seed(dataset, model)).get("prompts") or []
    prompts = ", ".join(f"“{row[min(COLUMN, len(row) - 1)]}”" for row in rows if row)
    return "; ".join(filter(None, [", ".join(values), f"rows as in {prompts}" if prompts else ""]))
