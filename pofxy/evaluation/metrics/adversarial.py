"""Adversarial accuracy: the accuracy against a small change of the pixels that is made to mislead.

    1/E sum_e accuracy(x + d),     |d|_inf <= e,  d by projected gradient ascent

The mean over the radii of the curve, of the stronger of the two attacks. Sources: I. J. Goodfellow, J. Shlens, C. Szegedy,
"Explaining and harnessing adversarial examples", ICLR 2015 (FGSM); A. Madry et al., "Towards deep learning models resistant to
adversarial attacks", ICLR 2018 (PGD). Trap: an upper bound on the true robustness: a stronger attack may find more.
"""

HIGHER_IS_BETTER = True
UNIT = "share"
LOWEST = 0.0
HIGHEST = 1.0


def adversarial(adversarial_attack):
    """Mean accuracy under PGD over the radii above 0; adversarial_attack (N, 2, radii) bool: FGSM and PGD, radius 0 first."""
    return float(adversarial_attack[:, 1, 1:].mean())
