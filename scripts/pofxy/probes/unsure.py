"""Outliers by confidence: whether a classifier is less sure of noise, negatives, shuffled images and other data.

    s(x) = max_k p(k | x)

What is measured is the placement value of each test image among the outliers (`_outliers`). Source: D. Hendrycks, K. Gimpel, "A
baseline for detecting misclassified and out-of-distribution examples in neural networks", ICLR 2017.
"""

from pofxy import protocol
from pofxy.probes import _outliers

CURVE = "outliers_softmax"
UNIT = "AUROC"
NEEDS = ("predict_proba",)
IMAGES_ONLY = True


def unsure(model, x, spec, others):
    """Placement values of x (N, C, H, W) by the largest probability, (N, kinds, 1)."""
    return _outliers.placed(lambda images: protocol.apply(model, "predict_proba", images).amax(1), x, spec, others)
