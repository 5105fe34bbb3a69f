"""Adversarial accuracy: the accuracy on images whose pixels were changed slightly to mislead the model.

    1/E sum_e accuracy(x + d),     |d|_inf <= e,  d by projected gradient ascent

The attack is projected gradient descent (PGD), the stronger of the two attacks of the curve; the other one is the fast gradient
sign method (FGSM). The score is the mean over all radii e > 0 of the curve.

Sources: I. J. Goodfellow, J. Shlens, C. Szegedy, "Explaining and harnessing adversarial examples", ICLR 2015 (FGSM),
https://arxiv.org/abs/1412.6572; A. Madry et al., "Towards deep learning models resistant to adversarial attacks", ICLR 2018
(PGD), https://arxiv.org/abs/1706.06083

Trap: this is an upper bound on the true robustness. A stronger attack may mislead the model more often.
"""

import numpy as np

HIGHER_IS_BETTER = True
UNIT = "share"
LOWEST = 0.0
HIGHEST = 1.0


def adversarial(adversarial_attack: np.ndarray) -> float:
    """Mean accuracy under PGD over the radii above 0.

    Args:
        adversarial_attack: whether the label is right, (N, 2, radii) bool: FGSM, then PGD; radius 0 first.

    Returns:
        The mean, 0 to 1.
    """
    return float(adversarial_attack[:, 1, 1:].mean())
