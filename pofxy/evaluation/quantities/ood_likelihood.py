"""Outliers by likelihood: whether noise, negatives, shuffled images and other data are less likely than test images.

    s(x) = log p(x), or the model's bound of it

What is measured is the placement value of each test image among the outliers (`_ood`). Source: C. M. Bishop, "Novelty
detection and neural network validation", IEE Proceedings 1994. E. Nalisnick et al., "Do deep generative models know what they
don't know?", ICLR 2019, found it to fail on simpler images.
"""

from pofxy.evaluation.quantities import _ood

CURVE = "ood_likelihood"
UNIT = "AUROC"
NEEDS = ("log_prob", "log_weight", "log_prob_bound", "log_unnormalized")
IMAGES_ONLY = True


def ood_likelihood(model, x, spec, others):
    """Placement values of x (N, C, H, W) by likelihood, (N, kinds, 1)."""
    return _ood.placed(lambda images: _ood.log_likelihood(model, images, spec), x, spec, others)
