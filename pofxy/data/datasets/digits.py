"""Handwritten digits: 1,797 images of 8 x 8 pixels with 17 gray levels, as scikit-learn contains them.

The test part of the UCI data set "Optical Recognition of Handwritten Digits": each pixel counts the ink pixels in a 4 x 4 block
of a 32 x 32 bitmap. There is no official test split.

Reference: E. Alpaydin, C. Kaynak, "Optical recognition of handwritten digits", UCI Machine Learning Repository, 1998.
https://doi.org/10.24432/C50P49
"""

from pathlib import Path
from typing import Any

import numpy as np

from pofxy.data.datasets import LabelledData


class Digits:
    """Embedded in scikit-learn: nothing is downloaded."""

    rows = 1797
    shape = (1, 8, 8)

    def download(self, folder: Path, offered: Path) -> None:
        """Writes images.npy (N, 8, 8), gray levels 0..16 as uint8, and labels.npy (N,) into `folder`."""
        from sklearn.datasets import load_digits

        digits: Any = load_digits()
        np.save(folder / "images.npy", digits.images.astype(np.uint8))
        np.save(folder / "labels.npy", digits.target.astype(np.int64))

    def read(self, folder: Path) -> LabelledData:
        """All images, (1797, 1, 8, 8)."""
        x = np.load(folder / "images.npy")
        return LabelledData(x[:, None], np.load(folder / "labels.npy"), levels=17, class_names=tuple("0123456789"))
