"""Labels after inpainting: whether the feature net still recognizes the label of an image whose hidden part was filled in.

    right_n = [argmax_k p(k | x_n, its hidden pixels by the model) = y_n]

The masks are those of `inpainting`. Where several completions are as likely as the truth, the squared error penalizes a model for
its choice; the label is what the choice should not change.
"""

import torch
from torch import Tensor

from pofxy.base.capabilities import SupportsPredictProba
from pofxy.base.prediction import predict_batched
from pofxy.evaluation.quantities.inpainted import MASKS
from pofxy.evaluation.quantity import ProbeResult, quantity


@quantity(rows="test", images_only=True, curve="inpainting_labels", unit="accuracy")
def inpainting_label(y_masked: Tensor, inpainted: list[tuple[Tensor, Tensor]], feature_net: SupportsPredictProba) -> ProbeResult:
    """Whether the feature net recognizes the label, (M, 3, 1) bool."""
    right = [predict_batched(feature_net, "predict_proba", filled).argmax(1) == y_masked for _, filled in inpainted]
    return ProbeResult(torch.stack(right, 1)[:, :, None], MASKS, (0.0,))
