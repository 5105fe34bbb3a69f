"""Mixture of Gaussians: each class is a handful of kinds, and each kind a Gaussian with a covariance of its own.

    p(x, y) = p(y) sum_c w_yc N(x; mu_yc, Sigma_yc)

fitted by EM: E finds to which extent r_nc each image is of each component, M the means and covariances of what each got. A
component has few images, so its covariance is drawn towards T, the one within all classes (itself drawn a little towards a
sphere), as if v more images had shown T. This is the M step of a posterior mode: no step lowers

    sum_n log p(x_n | y) - v / 2 sum_c (log det Sigma_c + tr Sigma_c^-1 T),
    Sigma_c = (sum_n r_nc (x_n - mu_c) (x_n - mu_c)^T + v T) / (sum_n r_nc + v).

v with the share of the sphere, and then the number of components are chosen on val, the first two with a single component, where
all has a closed form: of those about as accurate as the best, the likeliest.

Reference: A. P. Dempster, N. M. Laird, D. B. Rubin, "Maximum likelihood from incomplete data via the EM algorithm", JRSS B 1977;
the prior of the covariances is that of C. Fraley, A. E. Raftery, "Bayesian regularization for normal mixture estimation and
model-based clustering", Journal of Classification, 2007; the start that of D. Arthur, S. Vassilvitskii, "k-means++", SODA 2007.
"""

import torch
from torch.nn.functional import one_hot

from pofxy.base.tags import Tags
from pofxy.nets.gaussian import GaussianClasses, Moments, choose, log_density, shrunk, widened

IMAGES = (200.0, 20.0)
SHRINKAGES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 1e-5)
COMPONENTS = (1, 2, 3, 5)
# Of the smallest class, for each component that is tried.
LEAST_IMAGES = 10
LEAST_GAIN = 0.01
# Of an M and an E step.
MOST_ROUNDS = 50
# An image of which a component has a smaller part is left out of its covariance, and of the time that it takes.
NO_PART = 1e-12


class GaussianMixture(GaussianClasses):
    """A density over the bins of the pixels; works on tables as it does on images.

    Args:
        n_components: of each class; None chooses the number on val.
        images: v, so many images is the covariance within all classes worth; None chooses it on val.
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
        self.n_components, self.images, self.shrinkage = n_components, images, shrinkage

    def fit(self, data, trainer):
        """EM in each class."""
        self.build(data.spec)
        images = IMAGES if self.images is None else (self.images,)
        shrinkages = SHRINKAGES if self.shrinkage is None else (self.shrinkage,)
        _, *prior = choose(data, [(1, v, share) for v in images for share in shrinkages], _laws)
        components = self.n_components
        if components is None:
            fewest = int(torch.bincount(data.y).min())
            numbers = [c for c in COMPONENTS if c == 1 or c * LEAST_IMAGES <= fewest]
            components, *_ = choose(data, [(c, *prior) for c in numbers], _laws)
        self.keep(*next(_laws(data, [(components, *prior)])))


def _laws(data, candidates):
    """log p(y) (K,), means (M, D), covariances (M, D, D) and log shares (K, C) for each (components, images, shrinkage)."""
    moments = Moments(data)
    of_class = [moments.x[moments.y == k] for k in range(len(moments.mean))]
    for components, images, shrinkage in candidates:
        target = widened(shrunk(moments.within, shrinkage), moments.bins)[0]  # T, (D, D)
        prior = images, target, moments.bins
        if components == 1:
            scatter = moments.covariance * moments.counts[:, None, None]
            yield moments.log_prior, moments.mean, _covariance(scatter, moments.counts, *prior)
            continue
        fits = [expectation_maximisation(x, components, *prior)[:3] for x in of_class]
        share, mean, covariance = (torch.stack(part) for part in zip(*fits, strict=True))  # (K, C, ...)
        yield moments.log_prior, mean.flatten(0, 1), covariance.flatten(0, 1), share.log()


def expectation_maximisation(x, components, images, target, bins, least_gain=LEAST_GAIN):
    """EM for one mixture of the points of the bins around x: what they add to a log density is averaged out, exactly.

    Args:
        x: (N, D) float64.
        n_components: C.
        images: v.
        target: T, (D, D), positive definite.
        bins: variance of a point within its bin.
        least_gain: a round that adds less, in nats per image, is the last one.

    Returns:
        shares (C,), means (C, D), covariances (C, D, D), and the log posterior after each round, (rounds,), but for a constant.
    """
    responsibility = _start(x, components)  # (N, C)
    found = []
    for _ in range(MOST_ROUNDS):
        # M step. One image more for each share keeps it above 0, as a Dirichlet prior of 2 does.
        count = responsibility.sum(0)  # (C,)
        share = (count + 1) / (len(x) + components)
        mean = responsibility.T @ x / count.clamp(min=1e-9)[:, None]
        scatter = torch.stack([_scatter(x - mean[c], responsibility[:, c]) for c in range(components)])  # (C, D, D)
        covariance = _covariance(scatter, count, images, target, bins)
        # E step.
        factor = torch.linalg.cholesky(covariance)
        precision = torch.cholesky_inverse(factor)  # Sigma_c^-1, (C, D, D)
        blur = bins / 2 * precision.diagonal(dim1=1, dim2=2).sum(1)  # (C,)
        joint = share.log() + log_density(x, mean, factor) - blur  # (N, C)
        responsibility = joint.softmax(1)
        log_determinant = 2 * factor.diagonal(dim1=1, dim2=2).log().sum()  # of all Sigma_c together
        prior = share.log().sum() - images / 2 * (log_determinant + (precision * target).sum())
        found.append(joint.logsumexp(1).sum() + prior)
        if len(found) > 1 and found[-1] - found[-2] < least_gain * len(x):
            break
    return share, mean, covariance, torch.stack(found)


def _start(x, components):
    """Each image to the nearest of the first means, one-hot (N, C); these are images, drawn by their squared distance."""
    means = x[torch.randint(len(x), (1,))]
    for _ in range(components - 1):
        distance = torch.cdist(x, means).amin(1) ** 2  # to the nearest mean so far, (N,)
        means = torch.cat([means, x[torch.multinomial(distance + 1e-12, 1)]])
    return one_hot(torch.cdist(x, means).argmin(1), components).double()


def _scatter(away, part):
    """sum_n part_n away_n away_n^T, (D, D), of away (N, D) and part (N,)."""
    some = part > NO_PART
    return (away[some] * part[some, None]).T @ away[some]


def _covariance(scatter, count, images, target, bins):
    """The mode of the covariances (C, D, D), of their scatter (C, D, D) and count (C,)."""
    return (widened(scatter, bins * count[:, None]) + images * target) / (count + images)[:, None, None]
