"""Samples during training

Samples of generators that are trained by gradient steps, taken in the course of training: a row per epoch, with the same noise
and the same classes in all rows. Shapes appear first, then variety. Where the rows stop changing, training could have been
shorter. A row of ten equal images is a mode collapse: see the diversity among the training diagnostics.
"""

import numpy as np
from markupsafe import Markup

from pofxy.report.charts.gallery import Picture, gallery
from pofxy.report.study import Study, data_uri
from pofxy.storage.image_grid import encode_grid

ORDER = 11
SAMPLES = "training_samples/samples.npy"
# In train.json: the epochs of these samples.
EPOCHS = "training_samples"


def training_samples(study: Study, dataset: str) -> Markup | None:
    """A picture per model with samples taken during training; None where there is none."""
    pictures = [_picture(study, dataset, model, family) for model, family in study.pictured(dataset, SAMPLES)]
    return gallery(pictures, "samples during training")


def _picture(study: Study, dataset: str, model: str, family: str) -> Picture:
    """A row per epoch, of the model's first seed."""
    seed = study.first_seed(dataset, model)
    images = np.load(study.folder(dataset, model, seed) / SAMPLES)
    png = encode_grid(images.reshape(-1, *images.shape[2:]), images.shape[1])  # (E, n, C, H, W) -> (E n, C, H, W)
    epochs = study.train(dataset, model, seed).get(EPOCHS) or []
    return Picture(model, family, data_uri(png), f"epochs {', '.join(map(str, epochs))}" if epochs else "")
