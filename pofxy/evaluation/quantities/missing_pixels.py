"""Missing pixels: the test images with 10 to 90 % of their numbers unknown.

    exact marginal:    argmax_y log p(x_known, y) = argmax_y log integral p(x, y) dx_unknown
    mean imputation:   predict(x with the mean of the train split in place of what is unknown)

A model with `log_joint_known` does the first; every other classifier is given the second. The larger share hides what the smaller
one hides, too.
"""

import torch

from pofxy.base.prediction import predict_batched
from pofxy.evaluation.quantities import ProbeResult, generator

CURVE = "missing_pixels"
UNIT = "accuracy"
NEEDS = ("predict",)
IMAGES_ONLY = False
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def missing_pixels(model, x, y, mean):
    """Where it is right, of x (N, ...), y (N,); the one condition names what the model does. mean (...) is that of train."""
    exact = hasattr(model, "log_joint_known")
    order = torch.rand(x.shape, generator=generator())
    right = []
    for share in SHARES:
        known = order >= share
        if exact:
            joint = predict_batched(model, "log_joint_known", torch.where(known, x, 0), known)
            right.append(joint.argmax(1) == y)
        else:
            right.append(predict_batched(model, "predict", torch.where(known, x, mean)) == y)
    return ProbeResult(torch.stack(right, 1)[:, None], ("exact marginal" if exact else "mean imputation",), SHARES)
