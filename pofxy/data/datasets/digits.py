"""Handwritten digits: 1,797 images of 8 x 8 pixels with 17 grey levels, as scikit-learn carries them.

The test part of the UCI set "Optical Recognition of Handwritten Digits" (E. Alpaydin, C. Kaynak, 1998): 32 x 32 bitmaps, the
pixels that are on counted in blocks of 4 x 4. It has no test split of its own.
"""

from pathlib import Path

import numpy as np

from pofxy.data.datasets import LabelledData


class Digits:
    """Embedded: nothing is fetched."""

    def download(self, folder: Path, offered: Path) -> None:
        """Writes images.npy (N, 8, 8) and labels.npy (N,) into `folder`."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        np.save(folder / "images.npy", digits.images.astype(np.uint8))
        np.save(folder / "labels.npy", digits.target.astype(np.int64))

    def read(self, folder: Path) -> LabelledData:
        """All images, (1797, 1, 8, 8)."""
        x = np.load(folder / "images.npy")
        return LabelledData(x[:, None], np.load(folder / "labels.npy"), levels=17, class_names=tuple("0123456789"))
