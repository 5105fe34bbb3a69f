"""OOD detection by typicality: how often a test image has a more typical log-likelihood than an out-of-distribution image.

    AUROC of -|log p(x) - mean log p(train images)|

The area under the receiver operating characteristic curve (AUROC), averaged over the kinds of out-of-distribution (OOD) images:
noise, negatives, shuffled pixels and another data set. The value of a test image is the share of OOD images that are less
typical, a tie counting half; the mean of these values is the AUROC.

Source: E. Nalisnick, A. Matsukawa, Y. W. Teh, B. Lakshminarayanan, "Detecting out-of-distribution inputs to deep generative
models using typicality", 2019. https://arxiv.org/abs/1906.02994

Traps: an OOD image that happens to have a typical likelihood is not detected. For a model that has memorized its train images,
new images of the same distribution are atypical, too.
"""

import numpy as np

from pofxy.evaluation.intervals import shared_placement_error

HIGHER_IS_BETTER = True
UNIT = "AUROC"
LOWEST = 0.0
HIGHEST = 1.0


def ood_typicality(ood_typicality: np.ndarray) -> tuple[np.ndarray, float]:
    """Mean over the kinds of OOD images.

    Args:
        ood_typicality: share of OOD images that are less typical, (N, kinds, 1).

    Returns:
        The mean share, 0 to 1, (N,), and the standard error that all of them share, as they share the OOD images.
    """
    return ood_typicality.mean((1, 2)), shared_placement_error(ood_typicality[:, :, 0])
