"""Real images: the floor of every distance. It draws from the train split, which is as far from the test split as real is."""

from pofxy.base.tags import Tags
from pofxy.nets.kept_images import KeptImages


class RealTrain(KeptImages):
    """Draws from the train split without replacement.

    Args:
        kept: images of the train split that are kept to draw from, at random; of each class one at least.
    """

    tags = Tags(conditional=True, samples_without_replacement=True, samples_are_real=True, n_redraws=10)

    def __init__(self, kept: int = 20_000):
        super().__init__(kept)
