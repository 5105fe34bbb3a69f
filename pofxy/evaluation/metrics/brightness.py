"""Brightness: the mean intensity of samples, against test images.

    mean_i m(s_i) / mean_j m(t_j),      m(x) the mean over pixels and channels

The simplest check there is: a model that has not even the mean right shows it here. 1 is right. Source: R. C. Gonzalez, R. E.
Woods, "Digital image processing", 4th edition, 2018, section 3.3 (the mean intensity as average brightness). Trap: right on
average says nothing of single images: grey ones are as bright as black and white ones.
"""

import numpy as np

HIGHER_IS_BETTER = False
BEST = 1.0
UNIT = "relative brightness"
LOWEST = 0.0
IMAGES_ONLY = True


def brightness(sample_pixels, test_pixels):
    """The ratio, and its standard error by the delta method; (n, C, H, W) and (N, C, H, W)."""
    of_samples, of_test = (x.mean((1, 2, 3), dtype=float) for x in (sample_pixels, test_pixels))
    middle = max(of_test.mean(), 1e-12)
    ratio = of_samples.mean() / middle
    spread = of_samples.var() / len(of_samples) + ratio**2 * of_test.var() / len(of_test)
    return float(ratio), float(np.sqrt(spread) / middle)
