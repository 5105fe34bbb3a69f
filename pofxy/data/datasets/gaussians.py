"""Gaussians: a table of two columns and three classes, drawn from a law that is known: three mixtures of two Gaussians.

The law, its entropy and what Bayes' rule attains on it stand in laws/gaussians.py: a model can be compared with the truth.
"""

from pathlib import Path

import numpy as np

from pofxy.data.datasets import LabelledData
from pofxy.data.known_distributions.gaussians import Gaussians as Law


class Gaussians:
    """Drawn here: nothing is fetched.

    Args:
        n: rows.
        seed: of the draw.
    """

    table = True
    distribution = "gaussians"

    def __init__(self, n: int = 1500, seed: int = 0):
        self.n, self.seed = n, seed

    def download(self, folder: Path, offered: Path) -> None:
        """Writes rows.npy (N, 2) and labels.npy (N,) into `folder`."""
        x, y = Law().draw(self.n, np.random.default_rng(self.seed))
        np.save(folder / "rows.npy", x)
        np.save(folder / "labels.npy", y)

    def read(self, folder: Path) -> LabelledData:
        """All rows, (N, 2)."""
        x, y = np.load(folder / "rows.npy"), np.load(folder / "labels.npy")
        return LabelledData(x, y, levels=None, class_names=("a", "b", "c"), distribution={"of": self.distribution})
