"""Outliers by typicality: whether their likelihood is farther from that of train images than the likelihood of test images is.

    s(x) = -|log p(x) - 1/M sum_m log p(x_m)|,      x_m train images

An image may be far too likely: a black one under a model of digits. The test of E. Nalisnick et al., "Detecting
out-of-distribution inputs to deep generative models using typicality", 2019, for single images. What is measured is the
placement value of each test image among the outliers (`_ood`).
"""

from pofxy.evaluation.quantities import _ood

CURVE = "ood_typicality"
UNIT = "AUROC"
NEEDS = ("log_prob", "log_weight", "log_prob_bound", "log_unnormalized")
IMAGES_ONLY = True
# Train images by which the entropy is estimated.
TRAIN = 500


def ood_typicality(model, x, spec, x_train, others):
    """Placement values of x (N, C, H, W) by typicality, (N, kinds, 1)."""
    usual = _ood.log_likelihood(model, x_train[:TRAIN], spec).double().mean()

    def score(images):
        return -(_ood.log_likelihood(model, images, spec).double() - usual).abs()

    return _ood.placed(score, x, spec, others)
