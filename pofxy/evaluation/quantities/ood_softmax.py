"""Outliers by confidence: whether a classifier is less sure of noise, negatives, shuffled images and other data.

    s(x) = max_k p(k | x)

What is measured is the placement value of each test image among the outliers (`_ood`). Source: D. Hendrycks, K. Gimpel, "A
baseline for detecting misclassified and out-of-distribution examples in neural networks", ICLR 2017.
"""

from pofxy.base.prediction import predict_batched
from pofxy.evaluation.quantities import _ood

CURVE = "ood_softmax"
UNIT = "AUROC"
NEEDS = ("predict_proba",)
IMAGES_ONLY = True


def ood_softmax(model, x, spec, others):
    """Placement values of x (N, C, H, W) by the largest probability, (N, kinds, 1)."""
    return _ood.placed(lambda images: predict_batched(model, "predict_proba", images).amax(1), x, spec, others)
