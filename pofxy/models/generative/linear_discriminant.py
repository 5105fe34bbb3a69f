"""Linear discriminant analysis: a Gaussian for each class, and one covariance for all of them.

    p(x, y) = p(y) N(x; mu_y, Sigma),      Sigma = (1 - a) S + a tr(S) / D I

S is the covariance within the classes. As log p(x, y) differs between classes by a linear function of x, it draws the same kind
of boundary as logistic regression, whose generative partner it is. Shrinking S towards a sphere keeps it regular where pixels are
constant or images few; the share a is chosen on val: of those about as accurate as the best, the likeliest.

Reference: R. A. Fisher, "The use of multiple measurements in taxonomic problems", Annals of Eugenics, 1936; the shrinkage is that
of J. H. Friedman, "Regularized discriminant analysis", JASA 1989, eq. 18, and O. Ledoit, M. Wolf, "A well-conditioned estimator
for large-dimensional covariance matrices", Journal of Multivariate Analysis, 2004.
"""

from pofxy.base.tags import Tags
from pofxy.nets.gaussian import GaussianClasses, Moments, choose, shrunk, widened

SHRINKAGES = (1.0, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0.003, 0.001, 1e-4, 1e-5)


class LinearDiscriminant(GaussianClasses):
    """A density over the bins of the pixels; works on tables as it does on images.

    Args:
        shrinkage: a, the weight of the sphere in the common covariance, 0 to 1; None chooses it on val.
    """

    tags = Tags(conditional=True, likelihood="density", discriminative_counterpart="logistic_regression")

    def __init__(self, shrinkage: float | None = None):
        super().__init__()
        self.shrinkage = shrinkage

    def fit(self, data, trainer):
        """Closed form."""
        self.build(data.spec)
        shrinkage = choose(data, SHRINKAGES, _laws) if self.shrinkage is None else self.shrinkage
        self.keep(*next(_laws(data, [shrinkage])))


def _laws(data, candidates):
    """log p(y) (K,), means (K, D) and the common covariance (1, D, D) for each shrinkage."""
    moments = Moments(data)
    for shrinkage in candidates:
        yield moments.log_prior, moments.mean, widened(shrunk(moments.within, shrinkage), moments.bins)
