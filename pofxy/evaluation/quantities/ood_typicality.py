"""Out-of-distribution (OOD) detection by typicality: whether a likelihood is far from that of train images.

    s(x) = -|log p(x) - 1/M sum_m log p(x_m)|,      x_m train images

An image may be far too likely, as a black one is under a model of digits. The value is the placement value of each test image
among the OOD images (`_ood`).

Reference: the test for single images of E. Nalisnick et al., "Detecting out-of-distribution inputs to deep generative models
using typicality", 2019, https://arxiv.org/abs/1906.02994.
"""

from torch import Tensor

from pofxy.base.capabilities import SupportsLogProb, SupportsLogProbBound, SupportsLogUnnormalized, SupportsLogWeight
from pofxy.base.data import DataSpec
from pofxy.evaluation.quantities import _ood
from pofxy.evaluation.quantity import ProbeResult, quantity

# Train images by which the entropy is estimated.
MAX_TRAIN_IMAGES = 500


@quantity(rows="test", images_only=True, curve="ood_typicality", unit="AUROC")
def ood_typicality(
    model: SupportsLogProb | SupportsLogWeight | SupportsLogProbBound | SupportsLogUnnormalized,
    x_probe: Tensor,
    spec: DataSpec,
    x_train_subset: Tensor,
    ood_images: dict[str, Tensor],
) -> ProbeResult:
    """Placement values of x_probe (P, C, H, W) by typicality, (P, kinds, 1)."""
    train = x_train_subset[:MAX_TRAIN_IMAGES]
    usual = _ood.log_likelihood(model, train, spec).double().mean()

    def score(images: Tensor) -> Tensor:
        return -(_ood.log_likelihood(model, images, spec).double() - usual).abs()

    return _ood.placement_values(score, x_probe, ood_images)
