"""Number of statistically different bins: the share of bins that hold a different proportion of samples than of train images.

    1/k sum_b [|p_b - q_b| > 1.96 sqrt(r_b (1 - r_b) (1/n + 1/m))],      p_b, q_b, r_b the shares of train, samples and both in b

Also known as NDB / k. The bins are the cells of K-means in pixel space, so no feature net is involved: n / 20 bins for n train
images, but at least 10 and at most 100. The bins are found on one half of the train images and filled with the other half,
because an image pulls the center of its cell towards itself. For samples from the true distribution about 5 % of the bins then
differ, in any number of dimensions.

Source: E. Richardson, Y. Weiss, "On GANs and GMMs", NeurIPS 2018, where all train images are used for both.
https://arxiv.org/abs/1805.12462

Traps: it tells whether the shares differ, not by how much, and with more images smaller differences become significant. It does
not see what happens within a bin.
"""

import warnings

import numpy as np

from pofxy.evaluation.intervals import Z95

HIGHER_IS_BETTER = False
UNIT = "share of bins"
FEWEST_ROWS = 2
LOWEST = 0.0
HIGHEST = 1.0
IMAGES_PER_BIN = 20
FEWEST_BINS = 10
MOST_BINS = 100


def ndb(sample_pixels: np.ndarray, train_pixels: np.ndarray) -> np.ndarray:
    """Whether the shares of each bin differ at the 5 % level.

    Args:
        sample_pixels: samples, (m, ...).
        train_pixels: train images, (n, ...).

    Returns:
        1.0 for each bin whose shares differ, else 0.0, (k,).
    """
    from scipy.cluster.vq import kmeans2, vq

    samples = sample_pixels.reshape(len(sample_pixels), -1).astype(np.float32)  # (m, ...) -> (m, D)
    train = train_pixels.reshape(len(train_pixels), -1).astype(np.float32)  # (n, ...) -> (n, D)
    order = np.random.default_rng(0).permutation(len(train))
    clustered = train[order[: len(train) // 2]]
    counted = train[order[len(train) // 2 :]]
    k = min(int(np.clip(len(train) // IMAGES_PER_BIN, FEWEST_BINS, MOST_BINS)), len(clustered))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # kmeans2 warns of empty cells, which do not count as different
        centers, _ = kmeans2(clustered, clustered[:k], minit="matrix")
    n = len(counted)
    m = len(samples)
    p, q = (np.bincount(vq(x, centers)[0], minlength=k) / len(x) for x in (counted, samples))
    pooled = (n * p + m * q) / (n + m)
    return (np.abs(p - q) > Z95 * np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))).astype(float)
