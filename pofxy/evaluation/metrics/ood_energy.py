"""Outliers by energy: how often the scores of a test image are larger than those of an outlier.

    AUROC of log sum_k exp f_k(x),     f the scores of `decision_function`

Outliers are noise, negatives, images with their pixels shuffled and images of another data set; the AUROC is averaged over
these kinds. A test image's own value is the share of outliers below it, a tie counting half, and the mean of these is the
AUROC. Source: W. Liu, X. Wang, J. Owens, Y. Li, "Energy-based out-of-distribution detection", NeurIPS 2020. Traps: the softmax
does not change when a number is added to all scores, and the energy does, so that training leaves it free in part; of margins
(SVMs) or regressions on the classes it is a soft maximum, and no energy.
"""

HIGHER_IS_BETTER = True
UNIT = "AUROC"
LOWEST = 0.0
HIGHEST = 1.0


def ood_energy(ood_energy):
    """Mean over the kinds of outliers for each image, (N,); ood_energy (N, kinds, 1), placement values by the free energy."""
    return ood_energy.mean((1, 2))
