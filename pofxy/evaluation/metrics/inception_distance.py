"""Fréchet Inception distance: the Fréchet distance on the features of Inception-v3, as papers print it.

    |m_s - m_t|^2 + tr(S_s + S_t - 2 (S_s S_t)^(1/2)),      m, S mean and covariance of 2,048 features

Given only where the config names weights. Source: M. Heusel et al., "GANs trained by a two time-scale update rule converge to a
local Nash equilibrium", NIPS 2017, eq. 6. Traps: published values hang on the weights, on how images were resized and on the
number of samples (50,000 by custom; with a few hundred it is far too large), so compare within one report alone; a net that
learned photographs may be blind to what matters in digits.
"""

from pofxy.evaluation.frechet import frechet, frechet_error, moments

HIGHER_IS_BETTER = False
UNIT = "squared feature distance"
LOWEST = 0.0


def inception_distance(sample_inception, test_inception):
    """The distance of features (n, 2048) and (N, 2048), and its standard error by the delta method: a bootstrap takes hours."""
    return frechet(moments(sample_inception), moments(test_inception)), frechet_error(sample_inception, test_inception)
