"""Gaussian mixture model: each class is a mixture of a few Gaussians, each with a covariance of its own.

    p(x, y) = p(y) sum_c w_yc N(x; mu_yc, Sigma_yc)

fitted by expectation maximization (EM). The E step computes the responsibility r_nc of each component for each image, the M step
the weighted means and covariances. A component has few images. So its covariance is shrunk towards T, the covariance within all
classes (itself shrunk towards a sphere), as if v further images had the covariance T. This is the M step for a posterior mode: no
step lowers

    sum_n log p(x_n | y) - v / 2 sum_c (log det Sigma_c + tr Sigma_c^-1 T),
    Sigma_c = (sum_n r_nc (x_n - mu_c) (x_n - mu_c)^T + v T) / (sum_n r_nc + v).

v and the share of the sphere are chosen on val first, with a single component, where the fit has a closed form; then the number
of components. Among the candidates within two standard errors of the best validation accuracy, the one with the highest
validation log-likelihood is chosen.

Reference: A. P. Dempster, N. M. Laird, D. B. Rubin, "Maximum likelihood from incomplete data via the EM algorithm", Journal of
the Royal Statistical Society B 39(1), 1977. https://doi.org/10.1111/j.2517-6161.1977.tb01600.x
The prior of the covariances: C. Fraley, A. E. Raftery, "Bayesian regularization for normal mixture estimation and model-based
clustering", Journal of Classification 24(2), 2007. https://doi.org/10.1007/s00357-007-0004-5
The initialization: D. Arthur, S. Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007.
https://dl.acm.org/doi/10.5555/1283383.1283494
"""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from pofxy.base.data import TrainingData
from pofxy.base.tags import Tags
from pofxy.nets.gaussian import GaussianClasses, Moments, add_variance, log_density, select_on_validation, shrink_to_sphere

# Candidates, the most regularized one first.
IMAGES = (200.0, 20.0)
SHRINKAGES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 1e-5)
COMPONENTS = (1, 2, 3, 5)
# Images that the smallest class must have for each component of a candidate.
MIN_IMAGES_PER_COMPONENT = 10
# EM ends after an iteration that gains less, in nats per image, and after so many iterations at most.
MIN_GAIN = 0.01
MAX_ITERATIONS = 50
# Images with a smaller responsibility are left out of a component's covariance, which saves time.
MIN_RESPONSIBILITY = 1e-12


class GaussianMixture(GaussianClasses):
    """A density over the dequantized pixels; works on tables as well as on images.

    Args:
        n_components: of each class; None chooses the number on val.
        images: v, the number of images that the covariance within all classes counts as; None chooses it on val.
        shrinkage: the weight of the sphere in that covariance, 0 to 1; None chooses it on val.
    """

    tags = Tags(conditional=True, likelihood="density")

    def __init__(
        self,
        n_components: int | None = None,
        images: float | None = None,
        shrinkage: float | None = None,
    ):
        super().__init__()
        self.n_components = n_components
        self.images = images
        self.shrinkage = shrinkage

    def fit(self, data: TrainingData, trainer: object) -> None:
        """EM in each class; the trainer is not used."""
        self.build(data.spec)
        images = IMAGES if self.images is None else (self.images,)
        shrinkages = SHRINKAGES if self.shrinkage is None else (self.shrinkage,)
        _, *prior = select_on_validation(data, [(1, v, share) for v in images for share in shrinkages], _fits)
        n_components = self.n_components
        if n_components is None:
            smallest = int(torch.bincount(data.y).min())
            numbers = [c for c in COMPONENTS if c == 1 or c * MIN_IMAGES_PER_COMPONENT <= smallest]
            n_components, *_ = select_on_validation(data, [(c, *prior) for c in numbers], _fits)
        self.set_components(*next(_fits(data, [(n_components, *prior)])))


def expectation_maximization(
    x: Tensor, n_components: int, images: float, target: Tensor, bin_variance: float, min_gain: float = MIN_GAIN
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """EM for one mixture of dequantized images: the log density is averaged over the noise within the bins, exactly.

    Args:
        x: (N, D) float64.
        n_components: C.
        images: v.
        target: T, (D, D), positive definite.
        bin_variance: variance of a point within its bin.
        min_gain: in nats per image; an iteration that gains less is the last one.

    Returns:
        mixture weights (C,), means (C, D), covariances (C, D, D), and the log posterior up to a constant after each iteration,
        (iterations,).
    """
    responsibility = _initial_responsibility(x, n_components)  # (N, C)
    log_posterior = []
    for _ in range(MAX_ITERATIONS):
        # M step. One more image for each weight keeps it above 0, as a Dirichlet prior of 2 does.
        count = responsibility.sum(0)  # (C,)
        weight = (count + 1) / (len(x) + n_components)
        mean = responsibility.T @ x / count.clamp(min=1e-9)[:, None]
        scatter = torch.stack([_scatter(x - mean[c], responsibility[:, c]) for c in range(n_components)])  # (C, D, D)
        covariance = _posterior_mode(scatter, count, images, target, bin_variance)
        # E step.
        factor = torch.linalg.cholesky(covariance)
        precision = torch.cholesky_inverse(factor)  # Sigma_c^-1, (C, D, D)
        noise_term = bin_variance / 2 * precision.diagonal(dim1=1, dim2=2).sum(1)  # (C,)
        joint = weight.log() + log_density(x, mean, factor) - noise_term  # (N, C)
        responsibility = joint.softmax(1)
        log_determinant = 2 * factor.diagonal(dim1=1, dim2=2).log().sum()  # sum over all Sigma_c
        log_prior = weight.log().sum() - images / 2 * (log_determinant + (precision * target).sum())
        log_posterior.append(joint.logsumexp(1).sum() + log_prior)
        if len(log_posterior) > 1 and log_posterior[-1] - log_posterior[-2] < min_gain * len(x):
            break
    return weight, mean, covariance, torch.stack(log_posterior)


def _fits(data, candidates):
    """log p(y) (K,), means (M, D), covariances (M, D, D), log weights (K, C) for each (n_components, images, shrinkage)."""
    moments = Moments(data)
    of_class = [moments.x[moments.y == k] for k in range(len(moments.mean))]
    for n_components, images, shrinkage in candidates:
        target = add_variance(shrink_to_sphere(moments.within, shrinkage), moments.added_variance)[0]  # T, (D, D)
        prior = images, target, moments.added_variance
        if n_components == 1:
            scatter = moments.covariance * moments.counts[:, None, None]
            yield moments.log_prior, moments.mean, _posterior_mode(scatter, moments.counts, *prior)
            continue
        fits = [expectation_maximization(x, n_components, *prior)[:3] for x in of_class]
        weight, mean, covariance = (torch.stack(part) for part in zip(*fits, strict=True))  # (K, C, ...)
        yield moments.log_prior, mean.flatten(0, 1), covariance.flatten(0, 1), weight.log()


def _initial_responsibility(x, n_components):
    """k-means++: images sampled by squared distance are the first means; each image belongs to the nearest, one-hot (N, C)."""
    means = x[torch.randint(len(x), (1,))]
    for _ in range(n_components - 1):
        distance = torch.cdist(x, means).amin(1) ** 2  # to the nearest mean so far, (N,)
        means = torch.cat([means, x[torch.multinomial(distance + 1e-12, 1)]])
    return one_hot(torch.cdist(x, means).argmin(1), n_components).double()


def _scatter(residual, responsibility):
    """sum_n r_n (x_n - mu) (x_n - mu)^T, (D, D), of residuals x - mu (N, D) and r (N,)."""
    used = responsibility > MIN_RESPONSIBILITY
    return (residual[used] * responsibility[used, None]).T @ residual[used]


def _posterior_mode(scatter, count, images, target, bin_variance):
    """The mode of the covariances (C, D, D), given their scatter (C, D, D) and count (C,)."""
    return (add_variance(scatter, bin_variance * count[:, None]) + images * target) / (count + images)[:, None, None]
