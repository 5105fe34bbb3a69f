"""Reconstructions

Test images as they are, and as they come back through the model's code. What is lost here cannot be in the code; what comes back
sharper, or as another class, was put there by the decoder.
"""

from markupsafe import Markup

from pofxy.report import chart

ORDER = 50
PICTURE = "pictures/reconstructions.png"


def reconstructions(study):
    """A picture for each model that reconstructs; None where none does."""
    parts = []
    for dataset in study.datasets:
        pictured = study.pictured(dataset, PICTURE)
        pictures = [(model, family, study.picture(dataset, model, PICTURE), "") for model, family in pictured]
        parts += [chart.heading(study, dataset) + chart.gallery(pictures, "reconstructions", "wide")] if pictures else []
    return Markup("").join(parts) or None
