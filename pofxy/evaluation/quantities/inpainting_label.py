"""Reading after inpainting: whether the data set's feature net still reads the label of an image whose hidden part was filled in.

    right_n = [argmax_k p(k | x_n, its hidden pixels by the model) = y_n]

The masks are those of `inpainted`. Where several fillings are as likely as the truth, the squared error blames a model for a
choice; the label is what its choice should not change.
"""

import torch

from pofxy.base.prediction import predict_batched
from pofxy.evaluation.quantities import ProbeResult
from pofxy.evaluation.quantities._inpainting import CONDITIONS, filled_in

CURVE = "inpainting_labels"
UNIT = "accuracy"
NEEDS = ("inpaint",)
IMAGES_ONLY = True


def inpainting_label(model, x, y, judge):
    """Whether the judge reads the label y (N,), (N, 3, 1) bool; x (N, C, H, W)."""
    right = [predict_batched(judge, "predict_proba", filled).argmax(1) == y for _, filled in filled_in(model, x)]
    return ProbeResult(torch.stack(right, 1)[:, :, None], CONDITIONS, (0.0,))
