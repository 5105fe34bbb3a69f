"""Real images: the floor of every distance. It draws from the train split, which is as far from the test split as real is."""

from pofxy.nets.kept_images import KeptImages


class RealTrain(KeptImages):
    """Draws from the train split without replacement.

    Args:
        kept: images of the train split that are kept to draw from, at random; of each class one at least.
    """

    real = True  # samples are real images, which count as if nobody had trained on them: memorisation leaves them out of train
    redraws = 10  # sets of samples that the evaluation draws: a floor is a distribution, and its spread is reported

    def __init__(self, kept: int = 20_000):
        super().__init__(kept)
