"""OOD detection by likelihood: how often a test image is more likely under the model than an out-of-distribution image.

    AUROC of log p(x)

The area under the receiver operating characteristic curve (AUROC), averaged over the kinds of out-of-distribution (OOD) images:
noise, negatives, shuffled pixels and another data set. The value of a test image is the share of OOD images that are less
likely, a tie counting half; the mean of these values is the AUROC.

Source of the idea: C. M. Bishop, "Novelty detection and neural network validation", IEE Proceedings - Vision, Image and Signal
Processing, 1994. https://doi.org/10.1049/ip-vis:19941330

Trap: densities of images prefer simple images. A value far below .5 on such OOD images is common and not a bug: E. Nalisnick et
al., "Do deep generative models know what they don't know?", ICLR 2019, https://arxiv.org/abs/1810.09136
"""

import numpy as np

from pofxy.evaluation.intervals import shared_placement_error

HIGHER_IS_BETTER = True
UNIT = "AUROC"
LOWEST = 0.0
HIGHEST = 1.0


def ood_likelihood(ood_likelihood: np.ndarray) -> tuple[np.ndarray, float]:
    """Mean over the kinds of OOD images.

    Args:
        ood_likelihood: share of OOD images that are less likely, (N, kinds, 1).

    Returns:
        The mean share, 0 to 1, (N,), and the standard error that all of them share, as they share the OOD images.
    """
    return ood_likelihood.mean((1, 2)), shared_placement_error(ood_likelihood[:, :, 0])
