"""Missing pixels: accuracy with 10 to 90 % of the values of each test image missing.

    exact marginal:    argmax_y log p(x_known, y) = argmax_y log integral p(x, y) dx_unknown
    mean imputation:   predict(x with the mean of the train split in place of what is missing)

A model with `log_joint_known` does the first; every other classifier is given the second. What is missing at a smaller share is
also missing at a larger one.
"""

import torch
from torch import Tensor

from pofxy.base.capabilities import SupportsPredict
from pofxy.base.prediction import predict_batched
from pofxy.evaluation.quantity import ProbeResult, fixed_generator, quantity

SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@quantity(rows="test", curve="missing_pixels", unit="accuracy")
def missing_pixels(model: SupportsPredict, x_probe: Tensor, y_probe: Tensor, predict: Tensor, train_mean: Tensor) -> ProbeResult:
    """Where the prediction is right at every share, (P, 1, shares); the one condition names the method. x_probe (P, ...)."""
    exact = hasattr(model, "log_joint_known")
    order = torch.rand(x_probe.shape, generator=fixed_generator())
    right = [predict[: len(y_probe)] == y_probe]  # nothing is missing
    for share in SHARES[1:]:
        known = order >= share
        if exact:
            joint = predict_batched(model, "log_joint_known", torch.where(known, x_probe, 0), known)
            right.append(joint.argmax(1) == y_probe)
        else:
            right.append(predict_batched(model, "predict", torch.where(known, x_probe, train_mean)) == y_probe)
    return ProbeResult(torch.stack(right, 1)[:, None], ("exact marginal" if exact else "mean imputation",), SHARES)
