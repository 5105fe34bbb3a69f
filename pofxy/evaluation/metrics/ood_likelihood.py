"""Outliers by likelihood: how often a test image is more likely than an outlier.

    AUROC of log p(x)

Outliers are noise, negatives, images with their pixels shuffled and images of another data set; the AUROC is averaged over
these kinds. A test image's own value is the share of outliers below it, a tie counting half, and the mean of these is the
AUROC. Source of the idea: C. M. Bishop, "Novelty detection and neural network validation", IEE Proceedings 1994. Trap:
densities of images prefer simple ones, and a value far below .5 on such outliers is the rule, not a fault of the code: E.
Nalisnick et al., "Do deep generative models know what they don't know?", ICLR 2019.
"""

HIGHER_IS_BETTER = True
UNIT = "AUROC"
LOWEST = 0.0
HIGHEST = 1.0


def ood_likelihood(ood_likelihood):
    """Mean over the kinds of outliers for each image, (N,); ood_likelihood (N, kinds, 1), placement values by likelihood."""
    return ood_likelihood.mean((1, 2))
