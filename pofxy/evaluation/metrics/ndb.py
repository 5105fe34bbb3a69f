"""Different bins: the share of the regions of the data that samples fill more or less often than train images do.

    1/k sum_b [|p_b - q_b| > 1.96 sqrt(r_b (1 - r_b) (1/n + 1/m))],      p_b, q_b, r_b the shares of train, samples and both in b

The bins are the cells of k-means in pixels, so that no feature net takes part: n / 20 of them for n train images, but at least
10 and at most 100. They are found on one half of the train images and filled with the other, as an image draws the centre of
its own cell to itself; then some 5 % differ for samples of the true law, however many dimensions there are. Source: E.
Richardson, Y. Weiss, "On GANs and GMMs", NeurIPS 2018 (NDB / k, where all train images serve for both). Traps: it tells whether
the shares differ, not by how much, and with more images ever smaller differences count; it does not see what happens within a
bin.
"""

import warnings

import numpy as np

HIGHER_IS_BETTER = False
UNIT = "share of bins"
LOWEST = 0.0
HIGHEST = 1.0
IMAGES_PER_BIN = 20
BINS = (10, 100)
Z = 1.96


def ndb(sample_pixels, train_pixels):
    """1 for each bin whose shares differ at the 5 % level, else 0, (k,); (m, ...) and (n, ...)."""
    from scipy.cluster.vq import kmeans2, vq

    samples, train = (x.reshape(len(x), -1).astype(np.float32) for x in (sample_pixels, train_pixels))  # (n, ...) -> (n, D)
    order = np.random.default_rng(0).permutation(len(train))
    found_on, filled_with = train[order[: len(train) // 2]], train[order[len(train) // 2 :]]
    k = min(int(np.clip(len(train) // IMAGES_PER_BIN, *BINS)), len(found_on))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an empty cell is no difference
        centres, _ = kmeans2(found_on, found_on[:k], minit="matrix")
    n, m = len(filled_with), len(samples)
    p, q = (np.bincount(vq(x, centres)[0], minlength=k) / len(x) for x in (filled_with, samples))
    both = (n * p + m * q) / (n + m)
    return (np.abs(p - q) > Z * np.sqrt(both * (1 - both) * (1 / n + 1 / m))).astype(float)
