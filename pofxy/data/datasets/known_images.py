"""Known images: bright shapes in the dark, 8 x 8 pixels of 17 grey levels in four classes, drawn from a law that is known.

The law, its entropy and what Bayes' rule attains on it stand in laws/known_images.py: a model can be compared with the truth.
"""

from pathlib import Path

import numpy as np

from pofxy.data.datasets import LabelledData
from pofxy.data.known_distributions.known_images import CLASSES, LEVELS
from pofxy.data.known_distributions.known_images import KnownImages as Law


class KnownImages:
    """Drawn here: nothing is fetched.

    Args:
        n: images.
        seed: of the draw.
    """

    distribution = "known_images"

    def __init__(self, n: int = 2000, seed: int = 0):
        self.n, self.seed = n, seed

    def download(self, folder: Path, offered: Path) -> None:
        """Writes images.npy (N, 1, 8, 8), grey levels, and labels.npy (N,) into `folder`."""
        x, y = Law().draw(self.n, np.random.default_rng(self.seed))
        np.save(folder / "images.npy", np.rint(x * (LEVELS - 1)).astype(np.uint8))
        np.save(folder / "labels.npy", y)

    def read(self, folder: Path) -> LabelledData:
        """All images, (N, 1, 8, 8)."""
        x, y = np.load(folder / "images.npy"), np.load(folder / "labels.npy")
        return LabelledData(x, y, levels=LEVELS, class_names=tuple(CLASSES), distribution={"of": self.distribution})
