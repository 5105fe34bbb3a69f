"""Sharpness: the amount of fine detail in samples, relative to that in test images.

    mean_i v(s_i) / mean_j v(t_j),      v(x) the variance over pixels of the Laplacian  x_u + x_d + x_l + x_r - 4 x

At the border the nearest pixel is repeated. 1 is best. Below 1, samples are blurred; above 1, they are noisy.

Source: J. L. Pech-Pacheco, G. Cristobal, J. Chamorro-Martinez, J. Fernandez-Valdivia, "Diatom autofocusing in brightfield
microscopy: a comparative study", ICPR 2000. https://doi.org/10.1109/ICPR.2000.903548

Trap: noise counts as sharp, so noise on top of blur can score 1.
"""

import numpy as np

HIGHER_IS_BETTER = False
BEST = 1.0
UNIT = "relative sharpness"
FEWEST_ROWS = 2
LOWEST = 0.0
IMAGES_ONLY = True
# Images in a batch.
BATCH = 500


def sharpness(sample_pixels: np.ndarray, test_pixels: np.ndarray) -> tuple[float, float]:
    """The ratio of mean variances of the Laplacian.

    Args:
        sample_pixels: samples, (n, C, H, W).
        test_pixels: test images, (N, C, H, W).

    Returns:
        The ratio and its standard error by the delta method.
    """
    of_samples = laplacian_variance(sample_pixels)
    of_test = laplacian_variance(test_pixels)
    test_mean = max(of_test.mean(), 1e-12)
    ratio = of_samples.mean() / test_mean
    variance = of_samples.var() / len(of_samples) + ratio**2 * of_test.var() / len(of_test)
    return float(ratio), float(np.sqrt(variance) / test_mean)


def laplacian_variance(x: np.ndarray) -> np.ndarray:
    """Variance of the Laplacian of each image over its pixels and channels.

    Args:
        x: images, (N, C, H, W).

    Returns:
        The variance, (N,).
    """
    return np.concatenate([_laplacian_variance(x[i : i + BATCH]) for i in range(0, len(x), BATCH)])


def _laplacian_variance(x: np.ndarray) -> np.ndarray:
    x = np.pad(x.astype(float), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")  # (B, C, H + 2, W + 2)
    neighbors = x[..., :-2, 1:-1] + x[..., 2:, 1:-1] + x[..., 1:-1, :-2] + x[..., 1:-1, 2:]
    return (neighbors - 4 * x[..., 1:-1, 1:-1]).var((1, 2, 3))
