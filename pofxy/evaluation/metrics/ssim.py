"""Structural similarity: how well means, contrasts and patterns of a reconstruction agree with the image in every small window.

    SSIM(x, r) = (2 m_x m_r + c_1) (2 s_xr + c_2) / ((m_x^2 + m_r^2 + c_1) (s_x^2 + s_r^2 + c_2)),     c_1 = .01^2, c_2 = .03^2

Also known as SSIM. m, s^2 and s_xr are means, variances and the covariance under a Gaussian window of 11 x 11 pixels, sigma
1.5, around every pixel. The image is reflected at its border, and the index is averaged over pixels and channels. Where an
image is smaller than 11 pixels, the window is the largest odd one that fits and its sigma shrinks in proportion.

Source: Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, "Image quality assessment: from error visibility to structural
similarity", IEEE Transactions on Image Processing, 2004. https://doi.org/10.1109/TIP.2003.819861

Traps: other programs leave out the pixels near the border, which are most pixels at these sizes. In flat regions, which have no
variance, a faint dot costs nearly the whole score.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "similarity"
# No LOWEST: an interval by the whole range would be several times too wide, as no image comes near its lower end of -1.
HIGHEST = 1.0
IMAGES_ONLY = True
WINDOW = 11
SIGMA = 1.5
# Images in a batch: five maps of each are held.
BATCH = 500


def ssim(x: np.ndarray, reconstruct: np.ndarray) -> np.ndarray:
    """Structural similarity of each image, for a data range of 1.

    Args:
        x: images, (N, C, H, W).
        reconstruct: their reconstructions, (N, C, H, W).

    Returns:
        The similarity, -1 to 1, (N,).
    """
    return np.concatenate([_ssim(x[i : i + BATCH], reconstruct[i : i + BATCH]) for i in range(0, len(x), BATCH)])


def _ssim(x: np.ndarray, r: np.ndarray) -> np.ndarray:
    x = x.astype(float)
    r = r.astype(float)
    side = min(WINDOW, *x.shape[2:])
    side -= 1 - side % 2
    offset = np.arange(side) - side // 2
    window = np.exp(-0.5 * (offset / (SIGMA * side / WINDOW)) ** 2)
    rows, columns = (_window_means(window / window.sum(), length) for length in x.shape[2:])  # (H, H), (W, W)

    def mean(values: np.ndarray) -> np.ndarray:
        return rows @ values @ columns.T  # (B, C, H, W)

    mean_x = mean(x)
    mean_r = mean(r)
    variance_x = mean(x**2) - mean_x**2
    variance_r = mean(r**2) - mean_r**2
    covariance = mean(x * r) - mean_x * mean_r
    c1 = 0.01**2
    c2 = 0.03**2
    similarity = (2 * mean_x * mean_r + c1) * (2 * covariance + c2)
    return (similarity / ((mean_x**2 + mean_r**2 + c1) * (variance_x + variance_r + c2))).mean((1, 2, 3))


def _window_means(window: np.ndarray, length: int) -> np.ndarray:
    """The matrix (length, length) that takes the window's mean around each position of an axis, reflected at its ends."""
    reach = len(window) // 2
    reflected = np.pad(np.eye(length), ((reach, reach), (0, 0)), "reflect")  # (length + 2 reach, length)
    return np.stack([window @ reflected[i : i + len(window)] for i in range(length)])
