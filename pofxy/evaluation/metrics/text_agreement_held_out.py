"""Text agreement on held-out wordings: text agreement for captions whose wording did not occur in training.

    1/N sum_n [argmax_k p(k | s_n) = y_n],      s_n ~ model(x | a caption of y_n of a held-out wording)

The loss against `text_agreement` shows how far the model has memorized whole captions instead of learning their words.

Sources: A. Ramesh et al., "Zero-shot text-to-image generation", ICML 2021 (unseen captions), https://arxiv.org/abs/2102.12092;
K. Shmelkov, C. Schmid, K. Alahari, "How good is my GAN?", ECCV 2018 (the measure), https://arxiv.org/abs/1807.09499

Trap: the name of the class is a known word in every caption. A model that finds this word and ignores the rest gets the full
score, so this does not measure understanding.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "share"
LOWEST = 0.0
HIGHEST = 1.0


def text_agreement_held_out(prompt_agreement: np.ndarray) -> np.ndarray:
    """Whether the feature net predicts the label of each caption of a held-out wording.

    Args:
        prompt_agreement: whether it does, (N, 2, 1) bool, held-out wordings second.

    Returns:
        1.0 where it does, else 0.0, (N,).
    """
    return prompt_agreement[:, 1, 0].astype(float)
