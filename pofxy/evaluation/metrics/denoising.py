"""Denoising: the error of reconstructions of noisy images, relative to that of a tuned Gaussian filter.

    1/4 sum_sigma  sum_n |r(x_n + sigma u_n) - x_n|^2 / sum_n |g_sigma(x_n + sigma u_n) - x_n|^2,    sigma = .1, .2, .3, .5

Below 1, the model has learned more about the images than that neighboring pixels are similar. The width of each filter g_sigma
is chosen on train images.

Source of the idea: P. Vincent, H. Larochelle, Y. Bengio, P.-A. Manzagol, "Extracting and composing robust features with
denoising autoencoders", ICML 2008. https://doi.org/10.1145/1390156.1390294

Trap: few models were trained on noisy images. A model that reconstructs well because it copies its input also copies the noise;
this says nothing against its likelihood.
"""

import numpy as np

HIGHER_IS_BETTER = False
UNIT = "share of a Gaussian filter's error"
LOWEST = 0.0


def denoising(denoising: np.ndarray) -> float:
    """Mean relative error over the noise levels.

    Args:
        denoising: squared errors, (N, 3, sigmas): of the model, the Gaussian filter and the mean image.

    Returns:
        The mean of the ratios, at least 0.
    """
    model, gaussian_filter, _ = denoising.astype(float).sum(0)  # (N, 3, sigmas) -> 3 of (sigmas,)
    return float(np.mean(model / np.maximum(gaussian_filter, 1e-12)))
