"""Learning to draw

What generators that are trained in steps drew on the way: a row for each of the epochs named, the same noise and the same classes
in every row. Shapes come first, then variety; where the rows stop changing, training could have been shorter. A row of one image
ten times is a collapse: see the diversity among the training's other curves.
"""

import numpy as np
from markupsafe import Markup

from pofxy.report import chart
from pofxy.report.study import data_uri
from pofxy.storage.image_grid import encode_grid

ORDER = 11
SAMPLES = "training_samples/samples.npy"


def learning_to_draw(study):
    """A picture for each model with samples on the way; None where there is none."""
    parts = []
    for dataset in study.datasets:
        pictures = [
            (model, family, _picture(study, dataset, model), _epochs(study, dataset, model))
            for model, family in study.pictured(dataset, SAMPLES)
        ]
        parts += [chart.heading(study, dataset) + chart.gallery(pictures, "samples on the way")] if pictures else []
    return Markup("").join(parts) or None


def _picture(study, dataset: str, model: str) -> str:
    """A row for each epoch, of the model's first seed."""
    images = np.load(study.folder(dataset, model, study.first_seed(dataset, model)) / SAMPLES)
    return data_uri(encode_grid(images.reshape(-1, *images.shape[2:]), images.shape[1]))  # (E, n, C, H, W) -> (E n, C, H, W)


def _epochs(study, dataset: str, model: str) -> str:
    """The epochs of the picture's rows, which are those of the model's first seed."""
    epochs = study.train(dataset, model, study.first_seed(dataset, model)).get("training_samples") or []
    return f"epochs {', '.join(map(str, epochs))}" if epochs else ""
