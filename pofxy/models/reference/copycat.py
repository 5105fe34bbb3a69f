"""Copycat: a generator that has memorized its train images.

It wins every distance between samples and test images: these cannot tell it from a perfect model. Only measures of memorization,
which compare samples with the train images, detect it.
"""

from pofxy.nets.kept_images import KeptImages


class Copycat(KeptImages):
    """Its samples are train images.

    Args:
        kept: number of train images that it memorizes, chosen at random; at least one of each class.
    """

    def __init__(self, kept: int = 20_000):
        super().__init__(kept)
