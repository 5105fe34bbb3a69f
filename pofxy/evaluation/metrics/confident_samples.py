"""Sure samples: the share of samples of whose class the feature net is at least 95 % sure.

    1/n sum_i [max_k p(k | s_i) >= .95]

Samples between two classes, or of none, lower it. Source: T. Salimans et al., "Improved techniques for training GANs", NIPS
2016, section 4 (images of something have a p(y | x) of low entropy). Traps: a classifier can be sure of noise; read it beside
`real_train`, as even real images do not all reach it.
"""

HIGHER_IS_BETTER = True
UNIT = "share"
LOWEST = 0.0
HIGHEST = 1.0
SURE = 0.95


def confident_samples(sample_probabilities):
    """1 for each sample of whose class the classifier is sure, else 0, (n,); sample_probabilities (n, K)."""
    return (sample_probabilities.max(1) >= SURE).astype(float)
