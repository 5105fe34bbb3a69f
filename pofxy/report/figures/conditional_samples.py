"""Samples of a class

Of models that draw an image of the class they are asked for. Agreement: how often a classifier sees that class in it. Then the
test that counts: a fixed network learns from samples alone, or from samples and train images together, and is judged on test
images. `real_train` is the same network after real images: samples alone that come near it hold what there is to learn, samples
that lift the union above it add something to the train split.
"""

from markupsafe import Markup

from pofxy.report import chart

ORDER = 39
METRICS = ("label_agreement", "train_on_synthetic", "train_on_union")


def conditional_samples(study):
    """A panel for each score of each data set; None where no model can be asked for a class."""
    panels = {dataset: chart.metric_panels(study, dataset, METRICS) for dataset in study.datasets}
    parts = [chart.heading(study, dataset) + drawn for dataset, drawn in panels.items() if drawn]
    return Markup("").join(parts) or None
