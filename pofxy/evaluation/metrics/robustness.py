"""Robustness: the share of the accuracy that is left when images are corrupted.

    1/(7 5) sum_c sum_s accuracy(corruption c at severity s) / accuracy(clean)

Seven corruptions (noise, blur, occlusion, shift, rotation, contrast, inversion) at five severities, the same for every model.

Source of the idea: D. Hendrycks, T. Dietterich, "Benchmarking neural network robustness to common corruptions and
perturbations", ICLR 2019, https://arxiv.org/abs/1903.12261; the corruptions are this project's own, scaled to small images.

Trap: it is relative to the clean accuracy, and a poor classifier has little to lose. Read it beside the accuracy.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "share of clean accuracy"
LOWEST = 0.0


def robustness(corruption: np.ndarray) -> float:
    """Mean accuracy at severities 1 to 5, relative to that at severity 0.

    Args:
        corruption: whether the label is right, (N, corruptions, severities) bool, severity 0 first.

    Returns:
        The ratio, at least 0.
    """
    return float(corruption[:, :, 1:].mean() / max(corruption[:, :, 0].mean(), 1e-12))
