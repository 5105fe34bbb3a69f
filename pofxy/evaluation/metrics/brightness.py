"""Brightness: the mean intensity of samples, relative to that of test images.

    mean_i m(s_i) / mean_j m(t_j),      m(x) the mean over pixels and channels

The simplest check of samples: it shows whether the model has at least the mean right. 1 is best.

Source: R. C. Gonzalez, R. E. Woods, "Digital image processing", 4th edition, 2018, section 3.3 (the mean intensity as average
brightness).

Trap: a right average says nothing about single images. Gray images are as bright as black-and-white images.
"""

import numpy as np

HIGHER_IS_BETTER = False
BEST = 1.0
UNIT = "relative brightness"
FEWEST_ROWS = 2
LOWEST = 0.0
IMAGES_ONLY = True


def brightness(sample_pixels: np.ndarray, test_pixels: np.ndarray) -> tuple[float, float]:
    """The ratio of mean intensities.

    Args:
        sample_pixels: samples, (n, C, H, W).
        test_pixels: test images, (N, C, H, W).

    Returns:
        The ratio and its standard error by the delta method.
    """
    of_samples = sample_pixels.mean((1, 2, 3), dtype=float)  # (n,)
    of_test = test_pixels.mean((1, 2, 3), dtype=float)  # (N,)
    test_mean = max(of_test.mean(), 1e-12)
    ratio = of_samples.mean() / test_mean
    variance = of_samples.var() / len(of_samples) + ratio**2 * of_test.var() / len(of_test)
    return float(ratio), float(np.sqrt(variance) / test_mean)
