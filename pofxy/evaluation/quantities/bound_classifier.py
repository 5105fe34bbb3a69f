"""Classification by a bound: accuracy of Bayes' rule with a lower bound in place of log p(x, y), on the first test images.

    right_n = [argmax_y bound of log p(x_n, y) = y_n],     n = 1 .. 100

For models whose bound is so slow that only a part of the test images can be classified. A bound is no likelihood: where it is
looser for one class than for another, the rule errs though the distribution may be right.
"""

from torch import Tensor

from pofxy.base.capabilities import SupportsLogJointBound
from pofxy.base.prediction import predict_batched
from pofxy.evaluation.quantity import ProbeResult, quantity

N_IMAGES = 100


@quantity(rows="test", curve="bound_accuracy", unit="accuracy")
def bound_classifier(model: SupportsLogJointBound, x_probe: Tensor, y_probe: Tensor) -> ProbeResult:
    """Whether the class with the highest bound is the label, (100, 1, 1) bool, of the first 100 images; x_probe (P, ...)."""
    right = predict_batched(model, "log_joint_bound", x_probe[:N_IMAGES]).argmax(1) == y_probe[:N_IMAGES]
    return ProbeResult(right[:, None, None], (f"first {len(right)} test images",), (0.0,))
