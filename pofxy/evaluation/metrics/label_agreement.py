"""Label agreement: the share of samples that the feature net assigns to the class they were sampled for.

    1/n sum_i [argmax_k p(k | s_i) = y_i],      s_i ~ model(x | y_i)

Only for conditional models.

Source: K. Shmelkov, C. Schmid, K. Alahari, "How good is my GAN?", ECCV 2018 (GAN-test). https://arxiv.org/abs/1807.09499

Traps: the feature net's own errors count against the model, so read it beside `real_train`. One clear image per class,
repeated, gets the full score.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "share"
LOWEST = 0.0
HIGHEST = 1.0


def label_agreement(sample_probabilities: np.ndarray, sample_labels: np.ndarray) -> np.ndarray:
    """Whether the feature net predicts the label of each sample.

    Args:
        sample_probabilities: class probabilities of samples by the feature net, (n, K).
        sample_labels: labels that the samples were requested for, (n,).

    Returns:
        1.0 where the two agree, else 0.0, (n,).
    """
    return (sample_probabilities.argmax(1) == sample_labels).astype(float)
