"""What the models that are Gaussian given the class share: densities, marginals and conditional means from Cholesky factors.

    p(x, y) = p(y) sum_c w_yc N(x; mu_yc, Sigma_yc)

One component per class gives a discriminant analysis, several give a mixture. The M = K C components of all classes are in one
array, those of class 0 first. They have a covariance each, or one in common.

The known pixels o of an image have the marginal N(mu_o, Sigma_oo). Given them the unknown pixels u have the mean
mu_u + Sigma_uo Sigma_oo^-1 (x_o - mu_o) (eq. 2.98 and 2.81 of the book). Parameters are stored as float32 and used as float64,
because triangular systems accumulate rounding errors.

Source: C. M. Bishop, "Pattern Recognition and Machine Learning", Springer, 2006.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from pofxy.base.bayes import BayesRuleMixin, log_class_prior
from pofxy.base.data import DataSpec, TrainingData, dequantize, validation_splits
from pofxy.base.tags import Tags
from pofxy.base.visualization import Visualization

# Every variance is increased by this share of the mean variance of x, so that constant data have a density.
VARIANCE_FLOOR = 1e-9
# A candidate may be so many standard errors below the best accuracy on val.
TOLERATED_ERRORS = 2.0
# Folds where a small subset has no val split: fits per candidate.
FOLDS = 3
# Columns of the visualization of one mean per class.
COLUMNS = 10

Candidate = TypeVar("Candidate")


class GaussianClasses(BayesRuleMixin, nn.Module):
    """Capabilities of a model whose p(x | y) is a Gaussian or a mixture of C Gaussians; its `fit` calls `set_components`."""

    tags = Tags(conditional=True, likelihood="density")

    log_prior: Tensor
    log_mixture_weight: Tensor
    mean: Tensor
    factor: Tensor

    def build(self, spec: DataSpec) -> None:
        """Makes buffers for K classes of one component; `set_components`, or a saved model, gives them their final sizes."""
        self.shape = spec.shape
        dimensions = math.prod(spec.shape)
        self.register_buffer("log_prior", torch.zeros(spec.classes))
        self.register_buffer("log_mixture_weight", torch.zeros(spec.classes, 1))
        self.register_buffer("mean", torch.zeros(spec.classes, dimensions))
        self.register_buffer("factor", torch.eye(dimensions)[None])  # Cholesky factors of the covariances

    def set_components(
        self, log_prior: Tensor, mean: Tensor, covariance: Tensor, log_mixture_weight: Tensor | None = None
    ) -> None:
        """Stores fitted parameters in torch's default type.

        Args:
            log_prior: log p(y), (K,).
            mean: of the components, (M, D), M = K C.
            covariance: (M, D, D), or (1, D, D) in common.
            log_mixture_weight: log w_yc, (K, C); None where C = 1.
        """
        dtype = self.mean.dtype
        self.log_prior = log_prior.to(dtype)
        self.mean = mean.to(dtype)
        self.factor = torch.linalg.cholesky(covariance.double()).to(dtype).contiguous()
        if log_mixture_weight is None:
            self.log_mixture_weight = torch.zeros(len(log_prior), 1)
        else:
            self.log_mixture_weight = log_mixture_weight.to(dtype)

    def count_parameters(self) -> int:
        """The number of free parameters: of a covariance, one triangle."""
        dimensions = self.mean.shape[1]
        free = len(self.factor) * dimensions * (dimensions + 1) // 2
        return self.log_prior.numel() + self.log_mixture_weight.numel() + self.mean.numel() + free

    def log_joint(self, x: Tensor) -> Tensor:
        """log p(x, y) in nats, (N, K): a density over pixels in units of their range."""
        log_likelihood = log_density(as_float64(x.flatten(1)), as_float64(self.mean), as_float64(self.factor))  # (N, M)
        return self._log_components(log_likelihood).logsumexp(2).to(x.dtype)

    def decision_function(self, x: Tensor) -> Tensor:
        """The same as `log_joint`, (N, K): by Bayes' rule the largest score belongs to the most probable label."""
        return self.log_joint(x)

    def log_joint_known(self, x: Tensor, known: Tensor) -> Tensor:
        """log p(known pixels, y) in nats, (N, K): exact, by the marginal Gaussian. One factorization per distinct mask."""
        rows = as_float64(x.flatten(1))
        mean, covariance = self._means_and_covariances()
        log_joint = rows.new_empty(len(rows), len(self.log_prior))
        for index, observed, _ in group_by_mask(known.flatten(1)):
            factor = torch.linalg.cholesky(covariance[:, observed][:, :, observed])  # (M, D, D) -> (M, O, O), O known pixels
            log_marginal = log_density(rows[index][:, observed], mean[:, observed], factor)
            log_joint[index] = self._log_components(log_marginal).logsumexp(2)
        return log_joint.to(x.dtype)

    def inpaint(self, x: Tensor, mask: Tensor) -> Tensor:
        """E[x | known pixels] where the mask is 0: exact, over all classes and components, before it is clamped to [0, 1]."""
        known = mask.bool().expand_as(x)
        rows = as_float64(x.flatten(1))
        mean, covariance = self._means_and_covariances()
        filled = torch.zeros_like(rows)
        for index, observed, missing in group_by_mask(known.flatten(1)):
            x_observed = rows[index][:, observed]  # (n, O)
            factor = torch.linalg.cholesky(covariance[:, observed][:, :, observed])
            joint = self._log_components(log_density(x_observed, mean[:, observed], factor)).flatten(1)  # (n, K, C) -> (n, M)
            residual = (x_observed - mean[:, None, observed]).mT  # (M, O, n)
            solution = torch.cholesky_solve(residual, factor.expand(len(mean), -1, -1))  # Sigma_oo^-1 (x_o - mu_o)
            expected = mean[:, missing, None] + covariance[:, missing][:, :, observed] @ solution  # (M, U, n), U missing pixels
            filled[index[:, None], missing] = torch.einsum("nm,mun->nu", joint.softmax(1), expected)
        return torch.where(known, x, filled.clamp(0, 1).to(x.dtype).view(x.shape))  # (N, D) -> (N, C, H, W)

    def sample(self, n: int, labels: Tensor | None = None) -> Tensor:
        """n images, clipped to [0, 1]; the labels are sampled from the class prior where none are given."""
        labels = self.drawn_labels(n) if labels is None else labels
        return self.sample_unclipped(labels).clamp(0, 1).view(n, *self.shape)  # (n, D) -> (n, C, H, W)

    def sample_unclipped(self, labels: Tensor) -> Tensor:
        """One sample of the density for each label (n,), (n, D): a pixel may lie outside of [0, 1]."""
        per_class = self.log_mixture_weight.shape[1]
        component = labels * per_class + torch.multinomial(self.log_mixture_weight[labels].exp(), 1)[:, 0]
        x = as_float64(self.mean[component])
        factor = as_float64(self.factor)
        noise = torch.randn_like(x)
        if len(factor) == 1:
            return (x + noise @ factor[0].T).to(self.mean.dtype)
        for m in component.unique():
            x[component == m] += noise[component == m] @ factor[m].T
        return x.to(self.mean.dtype)

    def picture(self, x: Tensor, y: Tensor) -> Visualization:
        """The mean image of each class, or of each component of its mixture."""
        per_class = self.log_mixture_weight.shape[1]
        images = self.mean.view(-1, *self.shape).clamp(0, 1)  # (M, D) -> (M, C, H, W)
        if per_class == 1:
            return Visualization(images, min(COLUMNS, len(images)), "The mean of each class, the center of its Gaussian.")
        return Visualization(images, per_class, "The means of the components: a row for each class.")

    def _log_components(self, log_likelihood: Tensor) -> Tensor:
        """log p(y) w_yc p(x | y, c), (N, K, C), of log p(x | y, c) (N, M)."""
        log_weights = self.log_mixture_weight + self.log_prior[:, None]
        return log_likelihood.view(-1, *self.log_mixture_weight.shape) + log_weights  # (N, M) -> (N, K, C)

    def _means_and_covariances(self) -> tuple[Tensor, Tensor]:
        factor = as_float64(self.factor)
        return as_float64(self.mean), factor @ factor.mT


def log_density(x: Tensor, mean: Tensor, factor: Tensor) -> Tensor:
    """log N(x; mu_m, L_m L_m^T) in nats, (N, M).

    Args:
        x: (N, D); D may be 0, with log density 0.
        mean: (M, D).
        factor: lower Cholesky factors L, (M, D, D), or (1, D, D) in common.
    """
    # x and means are whitened relative to a common center: both are then of modest size, and their difference loses few digits.
    center = mean.mean(0)
    whitened = torch.linalg.solve_triangular(factor, (x - center).T, upper=False)  # (M or 1, D, N)
    whitened_mean = torch.linalg.solve_triangular(factor, (mean - center)[..., None], upper=False)  # (M, D, 1)
    square = ((whitened - whitened_mean) ** 2).sum(1)  # (M, N)
    half_log_determinant = factor.diagonal(dim1=1, dim2=2).log().sum(1)  # of Sigma, (M or 1,)
    return (-0.5 * square - 0.5 * x.shape[1] * math.log(2 * math.pi) - half_log_determinant[:, None]).T


def group_by_mask(known: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Groups the rows of known (N, D) by their mask.

    Yields:
        for each distinct mask the indices of the rows, of the known pixels and of the missing ones.
    """
    masks, of_row = known.bool().unique(dim=0, return_inverse=True)
    for i, mask in enumerate(masks):
        yield (of_row == i).nonzero()[:, 0], mask.nonzero()[:, 0], (~mask).nonzero()[:, 0]


def as_float64(tensor: Tensor) -> Tensor:
    """The tensor as float64 where the device has it."""
    return tensor if tensor.device.type == "mps" else tensor.double()


class Moments:
    """The statistics that a Gaussian per class is fitted to, in float64.

    Attributes:
        x: (N, D).
        y: (N,).
        counts: images of each class, (K,).
        log_prior: log of their shares, (K,).
        mean: of each class, (K, D).
        covariance: of each class about its mean, divided by its count, (K, D, D).
        total: covariance about the mean of all images, (1, D, D).
        within: the mean covariance of the classes, weighted by their counts, (1, D, D). Where every class has a single image it
            would be 0 and carry no information; there it is the total covariance, its upper limit.
        added_variance: variance that is added to every pixel: that of dequantization, and the floor.
    """

    def __init__(self, data: TrainingData):
        self.x = data.x.flatten(1).double()
        self.y = data.y
        classes = range(data.spec.classes)
        self.counts = torch.bincount(self.y, minlength=len(classes)).double()
        self.log_prior = log_class_prior(data.y, len(classes))
        self.mean = torch.stack([self.x[self.y == k].mean(0) for k in classes])
        self.covariance = class_covariances(self.x, self.y, self.mean)
        self.total = class_covariances(self.x, torch.zeros_like(self.y), self.x.mean(0, keepdim=True))
        within = torch.einsum("k,kij->ij", self.counts / len(self.x), self.covariance)[None]
        self.within = within if (self.counts > 1).any() else self.total
        floor = max(VARIANCE_FLOOR * float(self.total.diagonal(dim1=1, dim2=2).mean()), 1e-12)
        self.added_variance = bin_variance(data.spec.levels) + floor


def bin_variance(levels: int | None) -> float:
    """The variance h^2 / 12 that uniform dequantization adds to a pixel, h = 1 / (L - 1); 0 for a table.

    Adding it to a fitted variance fits the dequantized pixels without sampling noise.
    """
    return 0.0 if levels is None else 1 / (levels - 1) ** 2 / 12


def class_covariances(x: Tensor, y: Tensor, mean: Tensor) -> Tensor:
    """The mean of (x - mu_k) (x - mu_k)^T over the rows of class k, (K, D, D); 0 where there is none. x (N, D), mean (K, D)."""
    residuals = [x[y == k] - mean[k] for k in range(len(mean))]
    return torch.stack([rows.T @ rows / max(len(rows), 1) for rows in residuals])


def shrink_to_sphere(covariance: Tensor, share: float) -> Tensor:
    """(1 - share) Sigma + share tr(Sigma) / D I, (..., D, D): towards a sphere of the same total variance.

    Sources: J. H. Friedman, "Regularized discriminant analysis", Journal of the American Statistical Association 84(405), 1989,
    eq. 18. https://doi.org/10.1080/01621459.1989.10478752
    The same target: O. Ledoit, M. Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", Journal of
    Multivariate Analysis 88(2), 2004. https://doi.org/10.1016/S0047-259X(03)00096-4
    """
    mean_variance = covariance.diagonal(dim1=-2, dim2=-1).mean(-1)  # tr(Sigma) / D, (...,)
    return add_variance((1 - share) * covariance, share * mean_variance[..., None])


def add_variance(covariance: Tensor, variance: float | Tensor) -> Tensor:
    """Sigma + variance I; the variance is a number, or (..., 1) for covariances (..., D, D)."""
    return covariance + torch.diag_embed(torch.zeros_like(covariance[..., 0]) + variance)


def select_on_validation(
    data: TrainingData,
    candidates: Sequence[Candidate],
    fits: Callable[[TrainingData, Sequence[Candidate]], Iterator[tuple[Tensor, ...]]],
) -> Candidate:
    """Of the candidates within two standard errors of the best validation accuracy, the one with the highest log-likelihood.

    Accuracy alone is a coarse score on few images. The likelihood alone is dominated by pixels that hardly ever change, which
    carry little information about the class. Accuracy is Friedman's criterion ("Regularized discriminant analysis", 1989). The
    tolerance is that of L. Breiman et al., "Classification and regression trees", 1984, section 3.4.3. The likelihood is the mean
    of log p(x, y) over held-out dequantized images.

    Args:
        data: of the fit; the held-out images are those of `validation_splits`.
        candidates: settings, the most regularized one first: that one is taken where no image can be held out.
        fits: yields for each candidate what it makes of a train split, as `GaussianClasses.set_components` takes it.
    """
    parts = validation_splits(data, FOLDS) if len(candidates) > 1 else []
    if not parts:
        return candidates[0]
    scores = []
    for part in parts:
        x = part.x_val if part.spec.levels is None else dequantize(part.x_val, part.spec.levels)
        scores.append(torch.stack([_scores(x.flatten(1).double(), part.y_val, *fit) for fit in fits(part, candidates)]))
    likelihood, accuracy = torch.cat(scores, 2).mean(2).T  # (candidates, 2, N) -> 2 of (candidates,)
    best = accuracy.max()
    images = sum(len(part.y_val) for part in parts)
    share = (best * images + 1) / (images + 2)  # never 0 or 1: even a perfect score on few images has an error
    tolerated = best - TOLERATED_ERRORS * (share * (1 - share) / images).sqrt()
    # Ties go to the first candidate; a likelihood that is not finite never wins.
    return candidates[int(likelihood.nan_to_num(-math.inf).where(accuracy >= tolerated, -math.inf).argmax())]


def _scores(
    x: Tensor, y: Tensor, log_prior: Tensor, mean: Tensor, covariance: Tensor, log_mixture_weight: Tensor | None = None
) -> Tensor:
    """log p(x, y) of each row in nats, and whether the most probable class is y, (2, N)."""
    log_mixture_weight = torch.zeros(len(log_prior), 1) if log_mixture_weight is None else log_mixture_weight
    log_likelihood = log_density(x, mean, torch.linalg.cholesky(covariance))  # (N, M)
    log_components = log_likelihood.view(-1, *log_mixture_weight.shape) + log_mixture_weight  # (N, M) -> (N, K, C)
    joint = log_components.logsumexp(2) + log_prior  # (N, K)
    return torch.stack([joint.gather(1, y[:, None])[:, 0], (joint.argmax(1) == y).double()])
