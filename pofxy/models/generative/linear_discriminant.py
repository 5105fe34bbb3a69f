"""Linear discriminant analysis: a Gaussian for each class, with one covariance for all classes.

    p(x, y) = p(y) N(x; mu_y, Sigma),      Sigma = (1 - a) S + a tr(S) / D I

S is the covariance within the classes. log p(x, y) differs between classes by a linear function of x, so the model has the same
kind of decision boundary as logistic regression, which is its discriminative counterpart. Shrinking S towards a sphere keeps it
regular where pixels are constant or images are few. The share a is chosen on val: among the candidates within two standard errors
of the best validation accuracy, the one with the highest validation log-likelihood.

Reference: R. A. Fisher, "The use of multiple measurements in taxonomic problems", Annals of Eugenics 7(2), 1936.
https://doi.org/10.1111/j.1469-1809.1936.tb02137.x
The shrinkage: J. H. Friedman, "Regularized discriminant analysis", Journal of the American Statistical Association 84(405), 1989,
eq. 18. https://doi.org/10.1080/01621459.1989.10478752
O. Ledoit, M. Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", Journal of Multivariate Analysis
88(2), 2004. https://doi.org/10.1016/S0047-259X(03)00096-4
"""

from pofxy.base.data import TrainingData
from pofxy.base.tags import Tags
from pofxy.nets.gaussian import GaussianClasses, Moments, add_variance, select_on_validation, shrink_to_sphere

# Candidates, the most regularized one first.
SHRINKAGES = (1.0, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0.003, 0.001, 1e-4, 1e-5)


class LinearDiscriminant(GaussianClasses):
    """A density over the dequantized pixels; works on tables as well as on images.

    Args:
        shrinkage: a, the weight of the sphere in the common covariance, 0 to 1; None chooses it on val.
    """

    tags = Tags(conditional=True, likelihood="density", discriminative_counterpart="logistic_regression")

    def __init__(self, shrinkage: float | None = None):
        super().__init__()
        self.shrinkage = shrinkage

    def fit(self, data: TrainingData, trainer: object) -> None:
        """Closed form; the trainer is not used."""
        self.build(data.spec)
        shrinkage = select_on_validation(data, SHRINKAGES, _fits) if self.shrinkage is None else self.shrinkage
        self.set_components(*next(_fits(data, [shrinkage])))


def _fits(data, candidates):
    """log p(y) (K,), means (K, D) and the common covariance (1, D, D) for each shrinkage."""
    moments = Moments(data)
    for shrinkage in candidates:
        covariance = add_variance(shrink_to_sphere(moments.within, shrinkage), moments.added_variance)
        yield moments.log_prior, moments.mean, covariance
