"""Label agreement: the share of samples that the feature net takes for the class that was asked for.

    1/n sum_i [argmax_k p(k | s_i) = y_i],      s_i ~ model(x | y_i)

For conditional models alone. Source: K. Shmelkov, C. Schmid, K. Alahari, "How good is my GAN?", ECCV 2018 (GAN-test). Traps:
the classifier's own mistakes count against the model, so read it beside `real_train`; one clear image per class gets all of it.
"""

HIGHER_IS_BETTER = True
UNIT = "share"
LOWEST = 0.0
HIGHEST = 1.0


def label_agreement(sample_probabilities, sample_labels):
    """1 for each sample that is taken for its label, else 0, (n,); sample_probabilities (n, K), sample_labels (n,)."""
    return (sample_probabilities.argmax(1) == sample_labels).astype(float)
