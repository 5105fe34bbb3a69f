"""Class-conditional samples: label agreement

For models that sample images of a given class. Label agreement is the share of samples that the feature net assigns to the given
class. The other two scores train the same network on samples alone, or on samples and train images together, and measure its
accuracy on test images. `real_train` is the same network trained on real images. Samples alone that come close to it carry most
of the information about the classes. Samples that raise the accuracy of the union above it add information to the train split.
"""

from markupsafe import Markup

from pofxy.report.charts.metric_panels import metric_panels
from pofxy.report.study import Study

ORDER = 39
METRICS = ("label_agreement", "train_on_synthetic", "train_on_union")


def conditional_samples(study: Study, dataset: str) -> Markup | None:
    """A panel per score; None where no model is class-conditional."""
    return metric_panels(study, dataset, METRICS)
