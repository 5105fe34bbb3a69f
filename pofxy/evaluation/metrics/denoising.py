"""Denoising: the error of reconstructions of noisy images, as a share of that of a well-chosen Gaussian filter.

    1/4 sum_sigma  sum_n |r(x_n + sigma u_n) - x_n|^2 / sum_n |g_sigma(x_n + sigma u_n) - x_n|^2,    sigma = .1, .2, .3, .5

Below 1, the model knows more of the images than that neighbouring pixels are alike. The width of each filter g_sigma is chosen on
train images. Source of the idea: P. Vincent, H. Larochelle, Y. Bengio, P.-A. Manzagol, "Extracting and composing robust features
with denoising autoencoders", ICML 2008. Trap: few models were trained on noisy images; one that reconstructs well because it
copies its input copies the noise, too, and that is no fault of its likelihood.
"""

import numpy as np

HIGHER_IS_BETTER = False
UNIT = "share of a Gaussian filter's error"
LOWEST = 0.0


def denoising(denoising):
    """The mean share over sigmas; denoising (N, 3, sigmas): squared errors by model, Gaussian filter and mean image."""
    model, filtered, _ = denoising.astype(float).sum(0)  # (N, 3, sigmas) -> 3 of (sigmas,)
    return float(np.mean(model / np.maximum(filtered, 1e-12)))
