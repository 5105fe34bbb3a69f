"""Known images: bright shapes on a dark background, 8 x 8 pixels of 17 gray levels in four classes, from a known distribution.

The distribution, its entropy and the scores of Bayes' rule stand in data/known_distributions/known_images.py: a model can be
compared with the ground truth.
"""

from pathlib import Path

import numpy as np

from pofxy.data.datasets import LabelledData
from pofxy.data.known_distributions.known_images import CLASSES, LEVELS
from pofxy.data.known_distributions.known_images import KnownImages as KnownImagesDistribution


class KnownImages:
    """Sampled on this machine: nothing is downloaded.

    Args:
        n: number of images.
        seed: of the samples.
    """

    distribution = "known_images"
    shape = (1, 8, 8)

    def __init__(self, n: int = 2000, seed: int = 0):
        self.n = n
        self.seed = seed

    def download(self, folder: Path, offered: Path) -> None:
        """Writes images.npy (N, 1, 8, 8), gray levels 0..16 as uint8, and labels.npy (N,) into `folder`."""
        x, y = KnownImagesDistribution().sample(self.n, np.random.default_rng(self.seed))
        np.save(folder / "images.npy", np.rint(x * (LEVELS - 1)).astype(np.uint8))
        np.save(folder / "labels.npy", y)

    def read(self, folder: Path) -> LabelledData:
        """All images, (N, 1, 8, 8)."""
        return LabelledData(
            x=np.load(folder / "images.npy"),
            y=np.load(folder / "labels.npy"),
            levels=LEVELS,
            class_names=tuple(CLASSES),
            distribution={"of": self.distribution},
        )
