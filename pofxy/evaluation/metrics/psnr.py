"""Peak signal-to-noise ratio of reconstructions: their squared error in decibels below full intensity.

    1/N sum_n 10 log10(1 / (|x_n - r(x_n)|^2 / D)),     an error below 1e-10 counted as that (100 dB)

Source: Q. Huynh-Thu, M. Ghanbari, "Scope of validity of PSNR in image/video quality assessment", Electronics Letters, 2008.
Trap: the mean over images of a logarithm: not the logarithm of the mean error.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "dB"


def psnr(x, reconstruct):
    """PSNR of each image in dB, (N,), for a data range of 1; x and reconstruct (N, ...)."""
    error = ((x.astype(float) - reconstruct) ** 2).reshape(len(x), -1).mean(1)
    return -10 * np.log10(np.maximum(error, 1e-10))
