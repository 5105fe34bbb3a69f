"""Out-of-distribution (OOD) detection by energy: whether a classifier's scores are smaller for images that are not from the data.

    s(x) = log sum_k exp f_k(x),      f the scores of `decision_function`; -s(x) is the free energy

Defined for every model with scores. Where softmax(f) is p(y | x), it is the energy of the reference; where f is log p(x, y), it
is log p(x); where f are margins or regressions on the classes, it is a soft maximum of them, and no energy of any distribution.
The value is the placement value of each test image among the OOD images (`_ood`).

Reference: W. Liu, X. Wang, J. Owens, Y. Li, "Energy-based out-of-distribution detection", NeurIPS 2020,
https://arxiv.org/abs/2010.03759.
"""

from torch import Tensor

from pofxy.base.capabilities import SupportsDecisionFunction
from pofxy.base.prediction import predict_batched
from pofxy.evaluation.quantities import _ood
from pofxy.evaluation.quantity import ProbeResult, quantity


@quantity(rows="test", images_only=True, curve="ood_energy", unit="AUROC")
def ood_energy(
    model: SupportsDecisionFunction,
    x_probe: Tensor,
    ood_images: dict[str, Tensor],
    log_joint: Tensor | None = None,
    ood_log_joint: dict[str, Tensor] | None = None,
) -> ProbeResult:
    """Placement values of x_probe (P, C, H, W) by the free energy, (P, kinds, 1)."""
    if log_joint is None or ood_log_joint is None:
        test_scores = predict_batched(model, "decision_function", x_probe)
        ood_scores = {kind: predict_batched(model, "decision_function", images) for kind, images in ood_images.items()}
    else:
        test_scores = log_joint[: len(x_probe)]
        ood_scores = ood_log_joint
    return _ood.placement_values(test_scores.logsumexp(1), {kind: scores.logsumexp(1) for kind, scores in ood_scores.items()})
