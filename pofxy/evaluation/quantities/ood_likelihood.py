"""Out-of-distribution (OOD) detection by likelihood: whether images that are not from the data are less likely than test images.

    s(x) = log p(x), or the model's bound of it

The value is the placement value of each test image among the OOD images (`_ood`).

References: C. M. Bishop, "Novelty detection and neural network validation", IEE Proceedings 1994,
https://doi.org/10.1049/ip-vis:19941330; it fails on simpler images: E. Nalisnick et al., "Do deep generative models know what
they don't know?", ICLR 2019, https://arxiv.org/abs/1810.09136.
"""

from torch import Tensor

from pofxy.evaluation.quantities import _ood
from pofxy.evaluation.quantity import ProbeResult, quantity


@quantity(rows="test", images_only=True, curve="ood_likelihood", unit="AUROC")
def ood_likelihood(x_probe: Tensor, log_likelihood: Tensor, ood_log_likelihood: dict[str, Tensor]) -> ProbeResult:
    """Placement values of x_probe (P, C, H, W) by likelihood, (P, kinds, 1)."""
    return _ood.placement_values(log_likelihood[: len(x_probe)], ood_log_likelihood)
