"""OOD detection by confidence: how often a classifier is more confident on a test image than on an out-of-distribution image.

    AUROC of max_k p(k | x)

The area under the receiver operating characteristic curve (AUROC), averaged over the kinds of out-of-distribution (OOD) images:
noise, negatives, shuffled pixels and another data set. The value of a test image is the share of OOD images with a lower
confidence, a tie counting half; the mean of these values is the AUROC.

Source: D. Hendrycks, K. Gimpel, "A baseline for detecting misclassified and out-of-distribution examples in neural networks",
ICLR 2017. https://arxiv.org/abs/1610.02136

Traps: far from all classes a softmax may be very confident. Probabilities that round to 1 in floating point tie, and a tie
counts half.
"""

import numpy as np

from pofxy.evaluation.intervals import shared_placement_error

HIGHER_IS_BETTER = True
UNIT = "AUROC"
LOWEST = 0.0
HIGHEST = 1.0


def ood_softmax(ood_softmax: np.ndarray) -> tuple[np.ndarray, float]:
    """Mean over the kinds of OOD images.

    Args:
        ood_softmax: share of OOD images with a smaller largest probability, (N, kinds, 1).

    Returns:
        The mean share, 0 to 1, (N,), and the standard error that all of them share, as they share the OOD images.
    """
    return ood_softmax.mean((1, 2)), shared_placement_error(ood_softmax[:, :, 0])
