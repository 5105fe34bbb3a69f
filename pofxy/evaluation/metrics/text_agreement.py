"""Text agreement: the share of images sampled for a caption that the feature net assigns to the class named in the caption.

    1/N sum_n [argmax_k p(k | s_n) = y_n],      s_n ~ model(x | a caption of y_n of a wording that it was trained on)

Only for text-to-image models.

Sources: K. Shmelkov, C. Schmid, K. Alahari, "How good is my GAN?", ECCV 2018 (label agreement),
https://arxiv.org/abs/1807.09499; A. Ramesh et al., "Zero-shot text-to-image generation", ICML 2021 (captions),
https://arxiv.org/abs/2102.12092

Traps: as for `label_agreement`, the feature net's own errors count against the model, and one clear image per class gets the
full score. A model that re-ranks its samples by a classifier is evaluated by another classifier of the same data.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "share"
LOWEST = 0.0
HIGHEST = 1.0


def text_agreement(prompt_agreement: np.ndarray) -> np.ndarray:
    """Whether the feature net predicts the label of each caption of a known wording.

    Args:
        prompt_agreement: whether it does, (N, 2, 1) bool, known wordings first.

    Returns:
        1.0 where it does, else 0.0, (N,).
    """
    return prompt_agreement[:, 0, 0].astype(float)
