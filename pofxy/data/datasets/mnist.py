"""MNIST: 70,000 handwritten digits of 28 x 28 pixels with 256 gray levels, 10,000 of them the official test split.

Reference: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition", Proceedings of
the IEEE 86(11), 1998. https://doi.org/10.1109/5.726791
"""

from pathlib import Path

from pofxy.data.datasets import LabelledData
from pofxy.data.datasets._idx_format import read_images
from pofxy.data.datasets._torchvision import fetch
from pofxy.data.torchvision_compat import import_torchvision


class MNIST:
    """Downloaded from torchvision's mirrors, 12 MB."""

    rows = 70_000
    official_test = 10_000
    shape = (1, 28, 28)

    def download(self, folder: Path, offered: Path) -> None:
        """Puts the four published files into `folder`."""
        published = import_torchvision().datasets.MNIST
        fetch(published.resources, published.mirrors, folder, offered)

    def read(self, folder: Path) -> LabelledData:
        """All images, (70000, 1, 28, 28), the last 10,000 for test."""
        return read_images(folder, class_names=tuple("0123456789"))
