"""Fashion-MNIST: 70,000 articles of clothing of 28 x 28 pixels with 256 gray levels, 10,000 of them the official test split.

Reference: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms",
2017.
https://arxiv.org/abs/1708.07747
"""

from pathlib import Path

from pofxy.data.datasets import LabelledData
from pofxy.data.datasets._idx_format import read_images
from pofxy.data.datasets._torchvision import fetch
from pofxy.data.torchvision_compat import import_torchvision


class FashionMNIST:
    """Downloaded from torchvision's mirror, 31 MB."""

    rows = 70_000
    official_test = 10_000
    shape = (1, 28, 28)

    def download(self, folder: Path, offered: Path) -> None:
        """Puts the four published files into `folder`."""
        published = import_torchvision().datasets.FashionMNIST
        fetch(published.resources, published.mirrors, folder, offered)

    def read(self, folder: Path) -> LabelledData:
        """All images, (70000, 1, 28, 28), the last 10,000 for test."""
        names = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
        return read_images(folder, class_names=names)
