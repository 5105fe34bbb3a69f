"""Out-of-distribution (OOD) images, and how often a score takes them for less typical than test images.

    a_n = P(s(OOD image) < s(x_n)) + 1/2 P(s(OOD image) = s(x_n)),      AUROC = mean of a_n over the test images

The placement value a_n is the share of OOD images whose score s is below that of test image n. Its mean is the area under the ROC
curve (AUROC) of telling test images from OOD images.

Source: J. A. Hanley, K. O. Hajian-Tilaki, "Sampling variability of nonparametric estimates of the areas under receiver operating
characteristic curves: an update", Academic Radiology 1997, https://doi.org/10.1016/S1076-6332(97)80161-4.
"""

import torch
from torch import Tensor

from pofxy.evaluation.quantity import ProbeResult


def placement_values(test_scores: Tensor, ood_scores: dict[str, Tensor]) -> ProbeResult:
    """Placement values of test images among every kind of OOD images, at place 0.

    Args:
        test_scores: of the test images, (P,): the larger, the more typical; infinite values are ranked as any other.
        ood_scores: of the OOD images, by kind, (n,) each.

    Raises:
        ValueError: where a score is NaN.
    """
    test_scores = _checked(test_scores, "the test images")
    values = []
    for kind, scores in ood_scores.items():
        ascending = _checked(scores, f"the OOD images '{kind}'").sort().values
        below, not_above = (torch.searchsorted(ascending, test_scores, right=right) for right in (False, True))
        values.append((below + not_above) / 2 / len(ascending))
    return ProbeResult(torch.stack(values, 1)[:, :, None].float(), tuple(ood_scores), (0.0,))


def _checked(scores: Tensor, of: str) -> Tensor:
    if scores.isnan().any():
        raise ValueError(f"the score of {of} is NaN for {int(scores.isnan().sum())} of {len(scores)}")
    return scores.double()
