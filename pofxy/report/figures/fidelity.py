"""How realistic are the samples? Fidelity and diversity

All scores of the samples, with their 95 % intervals. An arrow says where better is. The models have the same order in all panels,
that of the Fréchet distance at infinity, so that a score which disagrees with it is seen at once. Gray names are references.
Dashed lines run up from the ends of the scale. At `real_train`, real train images take the place of samples, and no model should
be much better. At `independent_pixels`, each pixel is sampled by itself, and every model should be better. A model far beyond
`real_train` deserves suspicion: `copycat`, which repeats train images, stands there.

No single number shows everything. Precision and density measure fidelity: whether samples look like data. Recall and coverage
measure diversity: whether all of the data is covered. `one_per_class` has fidelity without diversity. The Fréchet distance mixes
both. At infinity it is comparable over numbers of samples, and its interval covers the distance between the two distributions.
The plain distance, which papers report, is too large, by an amount that falls with the number of samples. Its interval covers the
distance of that many samples.
"""

from markupsafe import Markup

from pofxy.report.charts.metric_panels import metric_panels
from pofxy.report.study import Study

ORDER = 38
METRICS = (
    "frechet_distance_infinity",
    "frechet_distance",
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


def fidelity(study: Study, dataset: str) -> Markup | None:
    """A panel per score; None where nothing was sampled."""
    return metric_panels(study, dataset, METRICS)
