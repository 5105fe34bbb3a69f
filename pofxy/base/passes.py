"""How many images an evaluation takes, by how often a model's net is evaluated for one image."""

import math

from pofxy.base.data import DataSpec
from pofxy.base.tags import tags_of

# A probe takes so many images that a prediction for all of them costs about PROBE_PASSES evaluations of the model's net, but at
# least MIN_PROBE_IMAGES, where a share still has an interval of at most +-10 %, and at most MAX_PROBE_IMAGES. The test split is
# in random order, so the first images are a fair sample. The number follows from the model's tags alone, never from a clock.
PROBE_PASSES = 1_000
MIN_PROBE_IMAGES = 100
MAX_PROBE_IMAGES = 500
# The same for log p(x) of the test split where it is computed for its own sake, and for the accuracies of a learning curve.
LIKELIHOOD_PASSES = 100_000
MIN_LIKELIHOOD_IMAGES = 1_000


def n_probe_images(passes: int, most: int = MAX_PROBE_IMAGES) -> int:
    """Images that a probe takes of a model with so many passes for each, at most `most`."""
    return min(max(PROBE_PASSES // passes, MIN_PROBE_IMAGES), most)


def n_likelihood_images(passes: int) -> int:
    """Images whose log p(x) is computed, or which a fit to a subset classifies, of a model with so many passes for each."""
    return max(LIKELIHOOD_PASSES // passes, MIN_LIKELIHOOD_IMAGES)


def prediction_passes(model: object, spec: DataSpec) -> int:
    """Evaluations of the net for the label or log p(x) of one image, by the model's tags."""
    tags = tags_of(model)
    return tags.passes * (spec.classes if tags.passes_per_class else 1)


def inpainting_passes(model: object, spec: DataSpec) -> int:
    """Evaluations of the net that fill in one image, by the model's tags."""
    tags = tags_of(model)
    return (tags.inpainting_passes or math.prod(spec.shape)) * (spec.classes if tags.passes_per_class else 1)
