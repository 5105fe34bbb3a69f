"""Reconstructions

Test images, and their reconstructions from the model's latents. What is missing in a reconstruction is not in the latents. What
is sharper than the original, or of another class, was added by the decoder.
"""

from markupsafe import Markup

from pofxy.report.charts.gallery import gallery, model_pictures
from pofxy.report.study import Study

ORDER = 50
PICTURE = "pictures/reconstructions.png"


def reconstructions(study: Study, dataset: str) -> Markup | None:
    """A picture per model that reconstructs; None where none does."""
    return gallery(model_pictures(study, dataset, PICTURE), "reconstructions", "wide")
