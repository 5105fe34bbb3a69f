"""OOD detection by energy: how often a test image has larger classification scores than an out-of-distribution image.

    AUROC of log sum_k exp f_k(x),     f the scores of `decision_function`

The area under the receiver operating characteristic curve (AUROC), averaged over the kinds of out-of-distribution (OOD) images:
noise, negatives, shuffled pixels and another data set. The value of a test image is the share of OOD images with a smaller
score, a tie counting half; the mean of these values is the AUROC.

Source: W. Liu, X. Wang, J. Owens, Y. Li, "Energy-based out-of-distribution detection", NeurIPS 2020.
https://arxiv.org/abs/2010.03759

Traps: adding a constant to all scores changes the energy but not the softmax, so training does not fully determine the energy.
For margins (SVMs) or regressions on the classes it is a soft maximum, not an energy.
"""

import numpy as np

from pofxy.evaluation.intervals import shared_placement_error

HIGHER_IS_BETTER = True
UNIT = "AUROC"
LOWEST = 0.0
HIGHEST = 1.0


def ood_energy(ood_energy: np.ndarray) -> tuple[np.ndarray, float]:
    """Mean over the kinds of OOD images.

    Args:
        ood_energy: share of OOD images with a smaller score, (N, kinds, 1).

    Returns:
        The mean share, 0 to 1, (N,), and the standard error that all of them share, as they share the OOD images.
    """
    return ood_energy.mean((1, 2)), shared_placement_error(ood_energy[:, :, 0])
