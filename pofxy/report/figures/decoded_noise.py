"""Decoding noise is not sampling

What each decoder makes of normal noise in place of codes, beside what it makes of the codes of test images (see the
reconstructions), and how far these images lie from test images. A model that was trained for reconstruction alone has learned
where the codes of images lie, and nothing of what lies between them: an autoencoder's codes have no law that one could draw from,
so noise falls beside them and what is decoded is no image. A variational autoencoder is made to have N(0, I) for the law of its
codes: decoding it is sampling. Principal components stand between: whitened codes have mean 0 and variance 1, but are not normal.
"""

from markupsafe import Markup

from pofxy.report import chart
from pofxy.report.wording import decimals, number

ORDER = 57
PICTURE = "pictures/decoded.png"
METRIC = "decoded_noise_distance"


def decoded_noise(study):
    """A picture for each model that decodes, the nearest to test images first; None where none does."""
    parts = []
    for dataset in study.datasets:
        found = study.summary[(study.summary["dataset"] == dataset) & (study.summary["metric"] == METRIC)]
        distance, places = dict(zip(found["model"], found["value"])), decimals(found["value"])
        pictured = sorted(study.pictured(dataset, PICTURE), key=lambda pair: distance.get(pair[0], float("inf")))
        pictures = [
            (model, family, study.picture(dataset, model, PICTURE), number(distance[model], places) if model in distance else "")
            for model, family in pictured
        ]
        parts += [chart.heading(study, dataset) + chart.gallery(pictures, "decoded noise")] if pictures else []
    return Markup("").join(parts) or None
