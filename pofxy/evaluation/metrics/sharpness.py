"""Sharpness: how much fine detail samples have, against test images.

    mean_i v(s_i) / mean_j v(t_j),      v(x) the variance over pixels of the Laplacian  x_u + x_d + x_l + x_r - 4 x

The border is repeated outwards. 1 is right: below, samples are blurred; above, they are noisy. Source: J. L. Pech-Pacheco, G.
Cristobal, J. Chamorro-Martinez, J. Fernandez-Valdivia, "Diatom autofocusing in brightfield microscopy: a comparative study",
ICPR 2000. Trap: noise looks sharp, and noise over blur can come out at 1.
"""

import numpy as np

HIGHER_IS_BETTER = False
BEST = 1.0
UNIT = "relative sharpness"
LOWEST = 0.0
IMAGES_ONLY = True
# Images at once.
BATCH = 500


def sharpness(sample_pixels, test_pixels):
    """The ratio, and its standard error by the delta method; (n, C, H, W) and (N, C, H, W)."""
    of_samples, of_test = of_images(sample_pixels), of_images(test_pixels)
    middle = max(of_test.mean(), 1e-12)
    ratio = of_samples.mean() / middle
    spread = of_samples.var() / len(of_samples) + ratio**2 * of_test.var() / len(of_test)
    return float(ratio), float(np.sqrt(spread) / middle)


def of_images(x):
    """The variance of the Laplacian of each image over its pixels and channels, (N,); x (N, C, H, W)."""
    return np.concatenate([_of_images(x[i : i + BATCH]) for i in range(0, len(x), BATCH)])


def _of_images(x):
    x = np.pad(x.astype(float), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    around = x[..., :-2, 1:-1] + x[..., 2:, 1:-1] + x[..., 1:-1, :-2] + x[..., 1:-1, 2:]
    return (around - 4 * x[..., 1:-1, 1:-1]).var((1, 2, 3))
