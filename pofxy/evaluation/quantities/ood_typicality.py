"""Out-of-distribution (OOD) detection by typicality: whether a likelihood is far from that of train images.

    s(x) = -|log p(x) - 1/M sum_m log p(x_m)|,      x_m train images

An image may be far too likely, as a black one is under a model of digits. The value is the placement value of each test image
among the OOD images (`_ood`).

Reference: the test for single images of E. Nalisnick et al., "Detecting out-of-distribution inputs to deep generative models
using typicality", 2019, https://arxiv.org/abs/1906.02994.
"""

from torch import Tensor

from pofxy.evaluation.quantities import _ood
from pofxy.evaluation.quantity import ProbeResult, quantity


@quantity(rows="test", images_only=True, curve="ood_typicality", unit="AUROC")
def ood_typicality(
    x_probe: Tensor, log_likelihood: Tensor, ood_log_likelihood: dict[str, Tensor], train_log_likelihood: Tensor
) -> ProbeResult:
    """Placement values of x_probe (P, C, H, W) by typicality, (P, kinds, 1)."""
    usual = train_log_likelihood.double().mean()

    def typicality(log_likelihoods: Tensor) -> Tensor:
        return -(log_likelihoods.double() - usual).abs()

    ood_scores = {kind: typicality(values) for kind, values in ood_log_likelihood.items()}
    return _ood.placement_values(typicality(log_likelihood[: len(x_probe)]), ood_scores)
