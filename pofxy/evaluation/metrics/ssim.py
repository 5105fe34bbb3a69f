"""Structural similarity of reconstructions: whether means, contrasts and patterns agree in every small window.

    SSIM(x, r) = (2 m_x m_r + c_1) (2 s_xr + c_2) / ((m_x^2 + m_r^2 + c_1) (s_x^2 + s_r^2 + c_2)),     c_1 = .01^2, c_2 = .03^2

m, s^2 and s_xr are means, variances and the covariance under a Gaussian window of 11 x 11 pixels, sigma 1.5, around every
pixel; the image is mirrored at its border, and the index averaged over pixels and channels. Where an image is smaller than 11
pixels, the window is the largest odd one that fits and its sigma shrinks in proportion. Source: Z. Wang, A. C. Bovik, H. R.
Sheikh, E. P. Simoncelli, "Image quality assessment: from error visibility to structural similarity", IEEE Transactions on
Image Processing, 2004. Traps: other programs leave out the pixels near the border, which at these sizes are most of them; on
flat ground, where there is no variance, a faint speck costs nearly all of it.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "similarity"
LOWEST = -1.0
HIGHEST = 1.0
IMAGES_ONLY = True
WINDOW = 11
SIGMA = 1.5
# Images at once: five maps of each are held.
BATCH = 500


def ssim(x, reconstruct):
    """The similarity of each image, (N,), for a data range of 1; x and reconstruct (N, C, H, W)."""
    return np.concatenate([_ssim(x[i : i + BATCH], reconstruct[i : i + BATCH]) for i in range(0, len(x), BATCH)])


def _ssim(x, found):
    x, found = x.astype(float), found.astype(float)
    side = min(WINDOW, *x.shape[2:])
    side -= 1 - side % 2
    offset = np.arange(side) - side // 2
    window = np.exp(-0.5 * (offset / (SIGMA * side / WINDOW)) ** 2)
    rows, columns = (_sliding(window / window.sum(), length) for length in x.shape[2:])

    def mean(values):
        return rows @ values @ columns.T  # (N, C, H, W)

    mean_x, mean_r = mean(x), mean(found)
    variance_x, variance_r = mean(x**2) - mean_x**2, mean(found**2) - mean_r**2
    covariance = mean(x * found) - mean_x * mean_r
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * mean_x * mean_r + c1) * (2 * covariance + c2)
    return (similarity / ((mean_x**2 + mean_r**2 + c1) * (variance_x + variance_r + c2))).mean((1, 2, 3))


def _sliding(window, length):
    """The matrix (length, length) that takes the window's mean around every place of an axis, which is mirrored at its ends."""
    reach = len(window) // 2
    mirrored = np.pad(np.eye(length), ((reach, reach), (0, 0)), "reflect")  # (length + 2 reach, length)
    return np.stack([window @ mirrored[place : place + len(window)] for place in range(length)])
