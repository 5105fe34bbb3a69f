"""Copycat: a generator that has learned its train images by heart. It wins every distance, and is caught memorising.

A distance between samples and test images cannot tell it from a perfect model: only the train images show what it does.
"""

from pofxy.nets.kept_images import KeptImages


class Copycat(KeptImages):
    """Its samples are train images.

    Args:
        kept: images of the train split that it knows, at random; of each class one at least.
    """

    def __init__(self, kept: int = 20_000):
        super().__init__(kept)
