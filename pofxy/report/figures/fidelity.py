"""How real samples are

Every score of the samples, with its interval; an arrow tells where better is. The models stand in one order everywhere, that of
the Fréchet distance, so that a score which disagrees with it is seen at once. Grey names are references, and the dashed lines run
up from the ends of the scale: `real_train`, real images in place of samples, is what no honest model passes by much;
`independent_pixels`, every pixel drawn by itself, is what no model should be content with. A model far beyond `real_train`
deserves suspicion: `copycat`, which repeats its train images, stands there.

No one number sees everything. Precision and density ask whether samples look like data, recall and coverage whether all of the
data is there: `one_per_class` has the first and lacks the second. The Fréchet distance mixes both.
"""

from markupsafe import Markup

from pofxy.report import chart

ORDER = 38
METRICS = (
    "frechet_distance",
    "frechet_distance_infinity",
    "kernel_distance",
    "inception_distance",
    "precision",
    "recall",
    "density",
    "coverage",
    "two_sample_test",
    "inception_score",
    "confident_samples",
    "distinct_classes",
    "class_entropy",
    "ndb",
    "sharpness",
    "brightness",
)


def fidelity(study):
    """A panel for each score of each data set; None where nothing was sampled."""
    panels = {dataset: chart.metric_panels(study, dataset, METRICS) for dataset in study.datasets}
    parts = [chart.heading(study, dataset) + drawn for dataset, drawn in panels.items() if drawn]
    return Markup("").join(parts) or None
