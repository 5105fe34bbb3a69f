"""Real images: the floor (lower limit) of every distance. Its samples are train images, which are as far from the test split as
real images are.
"""

from pofxy.base.tags import Tags
from pofxy.nets.kept_images import KeptImages


class RealTrain(KeptImages):
    """Samples from the train split without replacement.

    Args:
        kept: number of train images that are kept to sample from, chosen at random; at least one of each class.
    """

    tags = Tags(conditional=True, samples_without_replacement=True, samples_are_real=True, n_redraws=10)

    def __init__(self, kept: int = 20_000):
        super().__init__(kept)
