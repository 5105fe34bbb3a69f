"""Gaussians: a table of two columns and three classes, from a known distribution: each class is a mixture of two Gaussians.

The distribution, its entropy and the scores of Bayes' rule stand in data/known_distributions/gaussians.py: a model can be
compared with the ground truth.
"""

from pathlib import Path

import numpy as np

from pofxy.data.datasets import LabelledData
from pofxy.data.known_distributions.gaussians import Gaussians as GaussiansDistribution


class Gaussians:
    """Sampled on this machine: nothing is downloaded.

    Args:
        n: number of rows.
        seed: of the samples.
    """

    table = True
    distribution = "gaussians"
    shape = (2,)

    def __init__(self, n: int = 1500, seed: int = 0):
        self.n = n
        self.seed = seed

    def download(self, folder: Path, offered: Path) -> None:
        """Writes rows.npy (N, 2) float32 and labels.npy (N,) into `folder`."""
        x, y = GaussiansDistribution().sample(self.n, np.random.default_rng(self.seed))
        np.save(folder / "rows.npy", x)
        np.save(folder / "labels.npy", y)

    def read(self, folder: Path) -> LabelledData:
        """All rows, (N, 2)."""
        return LabelledData(
            x=np.load(folder / "rows.npy"),
            y=np.load(folder / "labels.npy"),
            levels=None,
            class_names=("a", "b", "c"),
            distribution={"of": self.distribution},
        )
