"""Outliers by energy: whether a classifier's scores are smaller for noise, negatives, shuffled images and other data.

    s(x) = log sum_k exp f_k(x),      f the scores of `decision_function`; -s(x) is the free energy

It is defined for every model with scores. Where softmax(f) is p(y | x), it is the energy of W. Liu, X. Wang, J. Owens, Y. Li,
"Energy-based out-of-distribution detection", NeurIPS 2020; where f is log p(x, y), it is log p(x); where f are margins or
regressions on the classes, it is a soft maximum of them, and no energy of any law. What is measured is the placement value of
each test image among the outliers (`_ood`).
"""

from pofxy.base.prediction import predict_batched
from pofxy.evaluation.quantities import _ood

CURVE = "ood_energy"
UNIT = "AUROC"
NEEDS = ("decision_function",)
IMAGES_ONLY = True


def ood_energy(model, x, spec, others):
    """Placement values of x (N, C, H, W) by the free energy, (N, kinds, 1)."""
    return _ood.placed(lambda images: predict_batched(model, "decision_function", images).logsumexp(1), x, spec, others)
