"""Classes by a bound: whether Bayes' rule names the right class where a bound stands for log p(x, y), on the first test images.

    right_n = [argmax_y bound of log p(x_n, y) = y_n],     n = 1 .. 100

For models whose bound takes so long that only a part of the test images can be asked for. A bound is no likelihood: where it is
looser for one class than for another, the rule errs though the law may be right.
"""

from pofxy.base.prediction import predict_batched
from pofxy.evaluation.quantities import ProbeResult

CURVE = "bound_accuracy"
UNIT = "accuracy"
NEEDS = ("log_joint_bound",)
IMAGES_ONLY = False
ASKED = 100


def bound_classifier(model, x, y):
    """Whether the class of the highest bound is the label y (N,), (100, 1, 1) bool, of the first 100; x (N, ...)."""
    right = predict_batched(model, "log_joint_bound", x[:ASKED]).argmax(1) == y[:ASKED]
    return ProbeResult(right[:, None, None], (f"first {len(right)} test images",), (0.0,))
