"""Robustness: what is left of the accuracy when images are spoilt.

    1/(7 5) sum_c sum_s accuracy(corruption c at severity s) / accuracy(clean)

Seven corruptions (noise, blur, occlusion, shift, rotation, contrast, inversion) at five severities, the same for every model.
Source of the idea: D. Hendrycks, T. Dietterich, "Benchmarking neural network robustness to common corruptions and
perturbations", ICLR 2019; the corruptions are this project's own, scaled to small images. Trap: relative to clean, a poor
classifier has little to lose; read it beside the accuracy.
"""

HIGHER_IS_BETTER = True
UNIT = "share of clean accuracy"
LOWEST = 0.0


def robustness(corruption):
    """Mean accuracy at severities 1 to 5 over that at severity 0; corruption (N, corruptions, severities) bool."""
    return float(corruption[:, :, 1:].mean() / max(corruption[:, :, 0].mean(), 1e-12))
