"""Labels after inpainting: how often the feature net predicts the right label after a model has filled in the hidden pixels.

    1/3 sum_m [argmax_k p(k | f_m(x)) = y],     m: lower half, center, half the pixels at random

Source of the idea, a fixed classifier applied to filled-in images: R. Zhang, P. Isola, A. A. Efros, "Colorful image
colorization", ECCV 2016. https://arxiv.org/abs/1603.08511

Traps: the feature net also errs on whole images, and it was not trained on filled-in ones. A model that fills in the most
common look of a class may do better than a faithful one.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "accuracy"
LOWEST = 0.0
HIGHEST = 1.0


def inpainting_labels(inpainting_label: np.ndarray) -> np.ndarray:
    """Share of the masks under which the label of each image is right.

    Args:
        inpainting_label: whether the label is right, (N, masks, 1) bool.

    Returns:
        The share, 0 to 1, (N,).
    """
    return inpainting_label.mean((1, 2))
