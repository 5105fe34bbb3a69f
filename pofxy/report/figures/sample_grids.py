"""Samples beside real images

The first grid shows images of the test split, each other one what a model draws; the number is the Fréchet distance of its
samples, the smallest first. The references stand last: `real_train` is what perfect samples would look like,
`independent_pixels` what no model should be content with. Look for classes that are missing, for images that come again and
again, and for shapes that no real image has. Good looks do not make a good density, nor does a poor density spoil the looks: see
the likelihood. Nor can the eye tell new images from learned ones: see the train images nearest to samples.
"""

import numpy as np
from markupsafe import Markup

from pofxy.report import chart
from pofxy.report.study import data_uri
from pofxy.storage.image_grid import encode_grid

ORDER = 10
COLUMNS, ROWS = 10, 10  # as the samples' own grids


def sample_grids(study):
    """A grid of pictures for each data set; None where nothing was sampled."""
    parts = []
    for dataset in study.datasets:
        found = study.summary[(study.summary["dataset"] == dataset) & (study.summary["metric"] == "frechet_distance")]
        distance = dict(zip(found["model"], found["value"], strict=True))
        pictured = study.pictured(dataset, "samples.png")
        if not pictured:
            continue
        pictured.sort(key=lambda pair: (pair[1] == "reference", distance.get(pair[0], np.inf)))
        grids = [
            (model, family, study.picture(dataset, model, "samples.png"), f"{distance[model]:.3g}" if model in distance else "")
            for model, family in pictured
        ]
        real = study.real_images(dataset, COLUMNS * ROWS)
        if real is not None:
            grids.insert(0, ("real test images", "real", data_uri(encode_grid(real[0], COLUMNS)), ""))
        parts.append(chart.heading(study, dataset) + chart.gallery(grids, "grid of images"))
    return Markup("").join(parts) or None
