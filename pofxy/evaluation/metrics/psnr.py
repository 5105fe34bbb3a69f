"""Peak signal-to-noise ratio: the squared error of reconstructions, in decibels below full intensity.

    1/N sum_n 10 log10(1 / (|x_n - r(x_n)|^2 / D)),     errors below 1e-10 are set to 1e-10 (100 dB)

Also known as PSNR.

Source: Q. Huynh-Thu, M. Ghanbari, "Scope of validity of PSNR in image/video quality assessment", Electronics Letters, 2008.
https://doi.org/10.1049/el:20080522

Trap: it is the mean of the logarithms over the images, not the logarithm of the mean error.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "dB"
HIGHEST = 100.0


def psnr(x: np.ndarray, reconstruct: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio of each image, for a data range of 1.

    Args:
        x: images, (N, ...).
        reconstruct: their reconstructions, (N, ...).

    Returns:
        The ratio in dB, at most 100, (N,).
    """
    error = ((x.astype(float) - reconstruct) ** 2).reshape(len(x), -1).mean(1)
    return -10 * np.log10(np.maximum(error, 1e-10))
