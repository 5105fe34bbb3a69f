"""Draws codes of any size in a plane."""

import numpy as np

ROWS = 500


def embed(codes: np.ndarray) -> np.ndarray:
    """A place in the plane for each of the first 500 codes: t-SNE (L. van der Maaten, G. Hinton, JMLR 2008), seeded.

    Args:
        codes: (N, Z); those of one or two dimensions are their own map.

    Returns:
        (min(N, 500), 2) float32.
    """
    codes = codes[:ROWS].astype(np.float32)
    if codes.shape[1] <= 2:
        return np.pad(codes, ((0, 0), (0, 2 - codes.shape[1])))
    from sklearn.manifold import TSNE

    # Half of the usual steps: what is still to come moves points by less than the map is read to.
    return TSNE(max_iter=500, perplexity=min(30, (len(codes) - 1) / 3), init="pca", random_state=0).fit_transform(codes)
