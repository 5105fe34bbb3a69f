"""A folder of IDX files, the format of MNIST: `idx:path/to/folder`.

train-images* holds images (N, H, W) or (N, H, W, C) of unsigned bytes, train-labels* their labels 0..K-1; each file may be
gzipped (.gz). Where t10k-* or test-* stand beside them, these are the official test split.
"""

import shutil
from dataclasses import replace
from pathlib import Path

from pofxy.data.datasets import LabelledData
from pofxy.data.datasets._idx_format import find_pairs, read_images


class Idx:
    """The user's own files, copied.

    Args:
        path: the folder.
        mirrors: whether a mirrored image is as probable and of the same class; models may then augment by horizontal flips.
    """

    def __init__(self, path: str, mirrors: bool = False):
        self.path = Path(path)
        self.mirrors = mirrors

    def download(self, folder: Path, offered: Path) -> None:
        """Copies the two or four files into `folder`."""
        for pair in find_pairs(self.path):
            for file in pair:
                shutil.copyfile(file, folder / file.name)

    def read(self, folder: Path) -> LabelledData:
        """All images, (N, C, H, W), 256 levels."""
        return replace(read_images(folder), mirrors=self.mirrors)
