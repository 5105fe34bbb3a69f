"""Out-of-distribution (OOD) detection by confidence: whether a classifier is less confident on images that are not from the data.

    s(x) = max_k p(k | x)

The value is the placement value of each test image among the OOD images (`_ood`).

Reference: D. Hendrycks, K. Gimpel, "A baseline for detecting misclassified and out-of-distribution examples in neural networks",
ICLR 2017, https://arxiv.org/abs/1610.02136.
"""

from torch import Tensor

from pofxy.base import bayes
from pofxy.base.capabilities import SupportsPredictProba
from pofxy.base.prediction import predict_batched
from pofxy.evaluation.quantities import _ood
from pofxy.evaluation.quantity import ProbeResult, quantity


@quantity(rows="test", images_only=True, curve="ood_softmax", unit="AUROC")
def ood_softmax(
    model: SupportsPredictProba,
    x_probe: Tensor,
    predict_proba: Tensor,
    ood_images: dict[str, Tensor],
    ood_log_joint: dict[str, Tensor] | None = None,
) -> ProbeResult:
    """Placement values of x_probe (P, C, H, W) by the largest probability, (P, kinds, 1)."""
    if ood_log_joint is None:
        probabilities = {kind: predict_batched(model, "predict_proba", images) for kind, images in ood_images.items()}
    else:
        probabilities = {kind: bayes.posterior(log_joint) for kind, log_joint in ood_log_joint.items()}
    confidence = {kind: values.amax(1) for kind, values in probabilities.items()}
    return _ood.placement_values(predict_proba[: len(x_probe)].amax(1), confidence)
