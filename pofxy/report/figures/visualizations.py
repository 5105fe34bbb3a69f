"""What each model learned

A look inside: what a model keeps of the train split, or goes by when it decides. Below each picture stands what it shows; each
has a scale of its own, so shades do not compare between models.
"""

from markupsafe import Markup

from pofxy.report import chart

ORDER = 28
PICTURE = "pictures/learned.png"


def visualizations(study):
    """A picture and its caption for each model that shows what it learned; None where none does."""
    parts = []
    for dataset in study.datasets:
        pictures = [
            (model, family, study.picture(dataset, model, PICTURE), _caption(study, dataset, model))
            for model, family in study.pictured(dataset, PICTURE)
        ]
        parts += [chart.heading(study, dataset) + chart.gallery(pictures, "what was learned", "wide own")] if pictures else []
    return Markup("").join(parts) or None


def _caption(study, dataset: str, model: str) -> str:
    """What the model says of its picture, which is that of its first seed."""
    seed = study.runs[(study.runs["dataset"] == dataset) & (study.runs["model"] == model)]["seed"].iloc[0]
    return str(study.evaluation(dataset, model, seed).get("learned") or "")
