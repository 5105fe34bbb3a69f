"""Decoding noise is not sampling

Each decoder's output for standard normal noise in place of latents; compare it with the reconstructions of test images above. The
number is the Fréchet distance between these images and test images, the smallest first. A model that is trained for
reconstruction alone learns where the latents of images lie, and nothing about the space between them. The latents of an
autoencoder have no known distribution to sample from: noise falls beside them, and its decoding is no image. A variational
autoencoder (VAE) is trained so that its latents follow N(0, I): decoding N(0, I) is sampling. Principal component analysis (PCA)
stands between the two: its whitened latents have mean 0 and variance 1, but are not normal.
"""

from markupsafe import Markup

from pofxy.report.charts.gallery import gallery, model_pictures
from pofxy.report.study import Study
from pofxy.report.wording import decimals, number

ORDER = 57
PICTURE = "pictures/decoded.png"
METRIC = "decoded_noise_distance"


def decoded_noise(study: Study, dataset: str) -> Markup | None:
    """A picture per model that decodes, the nearest to test images first; None where none does."""
    scores = study.summary[(study.summary["dataset"] == dataset) & (study.summary["metric"] == METRIC)]
    distance = dict(zip(scores["model"], scores["value"]))
    places = decimals(scores["value"])
    pictures = [
        picture._replace(remark=number(distance[picture.name], places) if picture.name in distance else "")
        for picture in model_pictures(study, dataset, PICTURE)
    ]
    pictures.sort(key=lambda picture: distance.get(picture.name, float("inf")))
    return gallery(pictures, "decoded noise")
