"""Samples beside real images

The first grid shows test images, each other grid the samples of a model. The number is the Fréchet distance of the samples at
infinity, the smallest first. References stand last: `real_train` shows what perfect samples would look like, `independent_pixels`
what every model should exceed. Look for classes that are missing, for repeated images, and for shapes that no real image has.
Realistic samples do not imply a good density, nor does a poor density imply unrealistic samples: see the likelihood. Nor do they
show whether images are new or memorized: see memorization.
"""

import numpy as np
from markupsafe import Markup

from pofxy.report.charts.gallery import Picture, gallery, model_pictures
from pofxy.report.study import Study, data_uri
from pofxy.storage.image_grid import encode_grid

ORDER = 10
PICTURE = "samples.png"
# Of the grid of real images, as of the samples' own grids.
COLUMNS = 10
ROWS = 10


def sample_grids(study: Study, dataset: str) -> Markup | None:
    """A gallery of grids of images; None where nothing was sampled."""
    scores = study.summary[(study.summary["dataset"] == dataset) & (study.summary["metric"] == "frechet_distance_infinity")]
    distance = dict(zip(scores["model"], scores["value"], strict=True))
    grids = [
        picture._replace(remark=f"{distance[picture.name]:.3g}" if picture.name in distance else "")
        for picture in model_pictures(study, dataset, PICTURE)
    ]
    if not grids:
        return None
    grids.sort(key=lambda picture: (picture.family == "reference", distance.get(picture.name, np.inf)))
    real = study.real_images(dataset, COLUMNS * ROWS)
    if real is not None:
        images, _ = real
        grids.insert(0, Picture("real test images", "real", data_uri(encode_grid(images, COLUMNS))))
    return gallery(grids, "grid of images")
