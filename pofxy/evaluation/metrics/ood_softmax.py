"""Outliers by confidence: how often a classifier is surer of a test image than of an outlier.

    AUROC of max_k p(k | x)

Outliers are noise, negatives, images with their pixels shuffled and images of another data set; the AUROC is averaged over
these kinds. A test image's own value is the share of outliers below it, a tie counting half, and the mean of these is the
AUROC. Source: D. Hendrycks, K. Gimpel, "A baseline for detecting misclassified and out-of-distribution examples in neural
networks", ICLR 2017. Traps: far from all classes a softmax may be sure of itself; probabilities that are 1 in floating point
tie, and a tie counts half.
"""

HIGHER_IS_BETTER = True
UNIT = "AUROC"
LOWEST = 0.0
HIGHEST = 1.0


def ood_softmax(ood_softmax):
    """Mean over the kinds of outliers for each image, (N,); ood_softmax (N, kinds, 1), placement values by the largest probability."""
    return ood_softmax.mean((1, 2))
