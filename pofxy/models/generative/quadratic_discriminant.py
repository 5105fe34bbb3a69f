"""Quadratic discriminant analysis: a Gaussian for each class, with a covariance of its own.

    p(x, y) = p(y) N(x; mu_y, Sigma_y),      Sigma_y = (1 - g) R_y + g tr(R_y) / D I,      R_y = (1 - l) S_y + l S

S_y is the covariance of class y and S the covariance within all classes. The decision boundaries are quadratic. A class seldom
has enough images for the D (D + 1) / 2 numbers of a covariance. So S_y is shrunk towards S, and the result towards a sphere:
regularized discriminant analysis. The shares l and g are chosen on val, one after the other: among the candidates within two
standard errors of the best validation accuracy, the one with the highest validation log-likelihood.

Reference: J. H. Friedman, "Regularized discriminant analysis", Journal of the American Statistical Association 84(405), 1989,
eq. 16 and 18 (here l is a share of covariances, not of sums of squares). https://doi.org/10.1080/01621459.1989.10478752
"""

from pofxy.base.data import TrainingData
from pofxy.base.tags import Tags
from pofxy.nets.gaussian import GaussianClasses, Moments, add_variance, select_on_validation, shrink_to_sphere

# Candidates, the most regularized one first.
POOLINGS = (1.0, 0.5, 0.3, 0.2, 0.1, 0.05, 0.01, 0.0)
SHRINKAGES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 1e-5)
# g while l is chosen.
FIRST_SHRINKAGE = 0.01


class QuadraticDiscriminant(GaussianClasses):
    """A density over the dequantized pixels; works on tables as well as on images.

    Args:
        pooling: l, the weight of the covariance within all classes against that of the class, 0 to 1; None chooses it on val.
        shrinkage: g, the weight of the sphere, 0 to 1; None chooses it on val.
    """

    tags = Tags(conditional=True, likelihood="density")

    def __init__(self, pooling: float | None = None, shrinkage: float | None = None):
        super().__init__()
        self.pooling = pooling
        self.shrinkage = shrinkage

    def fit(self, data: TrainingData, trainer: object) -> None:
        """Closed form; the trainer is not used."""
        self.build(data.spec)
        pooling = self.pooling
        shrinkage = self.shrinkage
        if pooling is None:
            first = FIRST_SHRINKAGE if shrinkage is None else shrinkage
            pooling, _ = select_on_validation(data, [(share, first) for share in POOLINGS], _fits)
        if shrinkage is None:
            _, shrinkage = select_on_validation(data, [(pooling, share) for share in SHRINKAGES], _fits)
        self.set_components(*next(_fits(data, [(pooling, shrinkage)])))


def _fits(data, candidates):
    """log p(y) (K,), means (K, D) and covariances (K, D, D) for each (pooling, shrinkage)."""
    moments = Moments(data)
    for pooling, shrinkage in candidates:
        pooled = (1 - pooling) * moments.covariance + pooling * moments.within
        yield moments.log_prior, moments.mean, add_variance(shrink_to_sphere(pooled, shrinkage), moments.added_variance)
