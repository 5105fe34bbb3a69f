"""Quadratic discriminant analysis: a Gaussian for each class, with a covariance of its own.

    p(x, y) = p(y) N(x; mu_y, Sigma_y),      Sigma_y = (1 - g) R_y + g tr(R_y) / D I,      R_y = (1 - l) S_y + l S

S_y is the covariance of class y and S the one within all classes. The boundaries are quadratic. A class has seldom enough images
for D (D + 1) / 2 numbers, so S_y is drawn a little towards S, and both towards a sphere: regularised discriminant analysis. The
shares l and g are chosen on val, one after the other: of those about as accurate as the best, the likeliest.

Reference: J. H. Friedman, "Regularized discriminant analysis", JASA 1989, eq. 16 and 18 (with l as a share of covariances, not
of sums of squares).
"""

from pofxy.base.tags import Tags
from pofxy.nets.gaussian import GaussianClasses, Moments, choose, shrunk, widened

POOLINGS = (1.0, 0.5, 0.3, 0.2, 0.1, 0.05, 0.01, 0.0)
SHRINKAGES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 1e-5)
# While l is chosen.
FIRST_SHRINKAGE = 0.01


class QuadraticDiscriminant(GaussianClasses):
    """A density over the bins of the pixels; works on tables as it does on images.

    Args:
        pooling: l, the weight of the covariance within all classes against that of the class, 0 to 1; None chooses it on val.
        shrinkage: g, the weight of the sphere, 0 to 1; None chooses it on val.
    """

    tags = Tags(conditional=True, likelihood="density")

    def __init__(self, pooling: float | None = None, shrinkage: float | None = None):
        super().__init__()
        self.pooling, self.shrinkage = pooling, shrinkage

    def fit(self, data, trainer):
        """Closed form."""
        self.build(data.spec)
        pooling, shrinkage = self.pooling, self.shrinkage
        if pooling is None:
            first = FIRST_SHRINKAGE if shrinkage is None else shrinkage
            pooling, _ = choose(data, [(share, first) for share in POOLINGS], _laws)
        if shrinkage is None:
            _, shrinkage = choose(data, [(pooling, share) for share in SHRINKAGES], _laws)
        self.keep(*next(_laws(data, [(pooling, shrinkage)])))


def _laws(data, candidates):
    """log p(y) (K,), means (K, D) and covariances (K, D, D) for each (pooling, shrinkage)."""
    moments = Moments(data)
    for pooling, shrinkage in candidates:
        pooled = (1 - pooling) * moments.covariance + pooling * moments.within
        yield moments.log_prior, moments.mean, widened(shrunk(pooled, shrinkage), moments.bins)
