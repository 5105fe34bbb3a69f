"""Outliers by typicality: how often the log-likelihood of a test image is nearer to the usual than that of an outlier.

    AUROC of -|log p(x) - mean log p(train images)|

Outliers are noise, negatives, images with their pixels shuffled and images of another data set; the AUROC is averaged over
these kinds. A test image's own value is the share of outliers below it, a tie counting half, and the mean of these is the
AUROC. Source: E. Nalisnick, A. Matsukawa, Y. W. Teh, B. Lakshminarayanan, "Detecting out-of-distribution inputs to deep
generative models using typicality", 2019. Traps: an outlier whose likelihood happens to be the usual one passes; and a model
that has learned its train images by heart finds new images ood_typicality, too.
"""

HIGHER_IS_BETTER = True
UNIT = "AUROC"
LOWEST = 0.0
HIGHEST = 1.0


def ood_typicality(ood_typicality):
    """Mean over the kinds of outliers for each image, (N,); ood_typicality (N, kinds, 1), placement values by typicality."""
    return ood_typicality.mean((1, 2))
