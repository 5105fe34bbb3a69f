"""What the models that are Gaussian given the class have in common: densities, marginals and fillings-in from Cholesky factors.

    p(x, y) = p(y) sum_c w_yc N(x; mu_yc, Sigma_yc)

One component per class is a discriminant, more are a mixture. M = K C components of all classes stand in one row, those of class
0 first; they have one covariance each, or one in common. The known pixels o of an image have the marginal N(mu_o, Sigma_oo), and
given them the unknown ones u the mean mu_u + Sigma_uo Sigma_oo^-1 (x_o - mu_o) (C. M. Bishop, "Pattern Recognition and Machine
Learning", 2006, eq. 2.98 and 2.81). Numbers are kept as float32 and computed with as float64, since triangular systems add
rounding errors up.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from pofxy.base.bayes import BayesRuleMixin, log_class_prior
from pofxy.base.data import DataSpec, TrainingData, dequantize, validation_splits
from pofxy.base.tags import Tags
from pofxy.base.visualization import Visualization

# Share of the mean variance of x that every variance gets: data that do not vary at all keep a density.
FLOOR = 1e-9
# Standard errors of the best accuracy on val that a likelier candidate may lie below it.
ERRORS = 2.0
# A small subset has three fits per candidate.
FOLDS = 3
PICTURED_IN_A_ROW = 10


class GaussianClasses(BayesRuleMixin, nn.Module):
    """The capabilities of a density p(x | y) that is a Gaussian, or a mixture of C of them; `fit` of the model calls `keep`."""

    tags = Tags(conditional=True, likelihood="density")

    def build(self, spec: DataSpec) -> None:
        """Buffers for K classes of one component; `keep`, or a saved model, gives them the size that was fitted."""
        self.shape = spec.shape
        dimensions = math.prod(spec.shape)
        self.register_buffer("log_prior", torch.zeros(spec.classes))
        self.register_buffer("log_share", torch.zeros(spec.classes, 1))
        self.register_buffer("mean", torch.zeros(spec.classes, dimensions))
        self.register_buffer("factor", torch.eye(dimensions)[None])

    def keep(self, log_prior: Tensor, mean: Tensor, covariance: Tensor, log_share: Tensor | None = None) -> None:
        """Keeps what was fitted, in torch's default type.

        Args:
            log_prior: log p(y), (K,).
            mean: of the components, (M, D), M = K C.
            covariance: (M, D, D), or (1, D, D) in common.
            log_share: log w_yc, (K, C); None where C = 1.
        """
        kept = self.mean.dtype
        self.log_prior, self.mean = log_prior.to(kept), mean.to(kept)
        self.factor = torch.linalg.cholesky(covariance.double()).to(kept).contiguous()
        self.log_share = torch.zeros(len(log_prior), 1) if log_share is None else log_share.to(kept)

    def count_parameters(self) -> int:
        """Of a covariance only one triangle is free."""
        dimensions = self.mean.shape[1]
        free = len(self.factor) * dimensions * (dimensions + 1) // 2
        return self.log_prior.numel() + self.log_share.numel() + self.mean.numel() + free

    def log_joint(self, x: Tensor) -> Tensor:
        """log p(x, y) in nats, (N, K): a density over pixels in units of their range."""
        log_likelihood = log_density(precise(x.flatten(1)), precise(self.mean), precise(self.factor))  # (N, M)
        return self._log_components(log_likelihood).logsumexp(2).to(x.dtype)

    def decision_function(self, x: Tensor) -> Tensor:
        """log_joint: by Bayes' rule the largest names the label."""
        return self.log_joint(x)

    def log_joint_known(self, x: Tensor, known: Tensor) -> Tensor:
        """log p(known pixels, y) in nats, (N, K): exact, the marginal of a Gaussian is one. One factorisation per mask."""
        rows, (mean, covariance) = precise(x.flatten(1)), self._law()
        found = rows.new_empty(len(rows), len(self.log_prior))
        for index, seen, _ in by_mask(known.flatten(1)):
            factor = torch.linalg.cholesky(covariance[:, seen][:, :, seen])  # (M, D, D) -> (M, O, O), O pixels seen
            log_marginal = log_density(rows[index][:, seen], mean[:, seen], factor)
            found[index] = self._log_components(log_marginal).logsumexp(2)
        return found.to(x.dtype)

    def inpaint(self, x: Tensor, mask: Tensor) -> Tensor:
        """E[x | known pixels] where the mask is 0: exact, over all classes and components, before it is clamped to [0, 1]."""
        known = mask.bool().expand_as(x)
        rows, (mean, covariance) = precise(x.flatten(1)), self._law()
        filled = torch.zeros_like(rows)
        for index, seen, unseen in by_mask(known.flatten(1)):
            x_seen = rows[index][:, seen]  # (n, O)
            factor = torch.linalg.cholesky(covariance[:, seen][:, :, seen])
            joint = self._log_components(log_density(x_seen, mean[:, seen], factor)).flatten(1)  # (n, K, C) -> (n, M)
            away = (x_seen - mean[:, None, seen]).mT  # (M, O, n)
            pull = torch.cholesky_solve(away, factor.expand(len(mean), -1, -1))  # Sigma_oo^-1 (x_o - mu_o)
            expected = mean[:, unseen, None] + covariance[:, unseen][:, :, seen] @ pull  # (M, U, n), U pixels unseen
            filled[index[:, None], unseen] = torch.einsum("nm,mun->nu", joint.softmax(1), expected)
        return torch.where(known, x, filled.clamp(0, 1).to(x.dtype).view(x.shape))  # (N, D) -> (N, C, H, W)

    def sample(self, n: int, labels: Tensor | None = None) -> Tensor:
        """n images, clipped to [0, 1]; the labels are drawn from the class prior where none are given."""
        labels = self.drawn_labels(n) if labels is None else labels
        return self.unclipped(labels).clamp(0, 1).view(n, *self.shape)  # (n, D) -> (n, C, H, W)

    def unclipped(self, labels: Tensor) -> Tensor:
        """One draw of the law itself for each label (n,), (n, D): a pixel may lie outside of [0, 1]."""
        per_class = self.log_share.shape[1]
        component = labels * per_class + torch.multinomial(self.log_share[labels].exp(), 1)[:, 0]
        x, factor = precise(self.mean[component]), precise(self.factor)
        noise = torch.randn_like(x)
        if len(factor) == 1:
            return (x + noise @ factor[0].T).to(self.mean.dtype)
        for m in component.unique():
            x[component == m] += noise[component == m] @ factor[m].T
        return x.to(self.mean.dtype)

    def picture(self, x: Tensor, y: Tensor) -> Visualization:
        """The mean image of each class, or of each component of its mixture."""
        per_class = self.log_share.shape[1]
        images = self.mean.view(-1, *self.shape).clamp(0, 1)  # (M, D) -> (M, C, H, W)
        if per_class == 1:
            return Visualization(
                images, min(PICTURED_IN_A_ROW, len(images)), "The mean of each class, the middle of its Gaussian."
            )
        return Visualization(images, per_class, "The means of the components: a row for each class.")

    def _log_components(self, log_likelihood: Tensor) -> Tensor:
        """log p(y) w_yc p(x | y, c), (N, K, C), of log p(x | y, c) (N, M)."""
        return log_likelihood.view(-1, *self.log_share.shape) + (self.log_share + self.log_prior[:, None])

    def _law(self) -> tuple[Tensor, Tensor]:
        factor = precise(self.factor)
        return precise(self.mean), factor @ factor.mT


def log_density(x: Tensor, mean: Tensor, factor: Tensor) -> Tensor:
    """log N(x; mu_m, L_m L_m^T) in nats, (N, M).

    Args:
        x: (N, D); D may be 0, of which the log density is 0.
        mean: (M, D).
        factor: lower Cholesky factors L, (M, D, D), or (1, D, D) in common.
    """
    centre = mean.mean(0)  # whitened apart, both are of modest size: little is lost in their difference
    whitened = torch.linalg.solve_triangular(factor, (x - centre).T, upper=False)  # (M or 1, D, N)
    middle = torch.linalg.solve_triangular(factor, (mean - centre)[..., None], upper=False)  # (M, D, 1)
    square = ((whitened - middle) ** 2).sum(1)  # (M, N)
    half_log_determinant = factor.diagonal(dim1=1, dim2=2).log().sum(1)  # of Sigma, (M or 1,)
    return (-0.5 * square - 0.5 * x.shape[1] * math.log(2 * math.pi) - half_log_determinant[:, None]).T


def by_mask(known: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yields (rows, seen, unseen) for each distinct row of known (N, D): indices of the rows, of their pixels known and not."""
    masks, of_row = known.bool().unique(dim=0, return_inverse=True)
    for i, mask in enumerate(masks):
        yield (of_row == i).nonzero()[:, 0], mask.nonzero()[:, 0], (~mask).nonzero()[:, 0]


def precise(tensor: Tensor) -> Tensor:
    """As float64 where the device has it."""
    return tensor if tensor.device.type == "mps" else tensor.double()


class Moments:
    """What a Gaussian per class is fitted to, in float64.

    Attributes:
        x: (N, D).
        y: (N,).
        counts: images of each class, (K,).
        log_prior: log of their shares, (K,).
        mean: of each class, (K, D).
        covariance: of each class about its mean, divided by its count, (K, D, D).
        total: covariance about the mean of all, (1, D, D).
        within: the mean covariance of the classes, weighted by their counts, (1, D, D). Where every class has a single image that
            is 0, and says nothing: there it is the total one, the largest that it may be.
        bins: variance that every pixel has besides. A uniform law over a bin of width h adds h^2 / 12, so this fits the
            dequantized pixels without noise; and the floor.
    """

    def __init__(self, data: TrainingData):
        self.x, self.y, classes = data.x.flatten(1).double(), data.y, range(data.spec.classes)
        self.counts = torch.bincount(self.y, minlength=len(classes)).double()
        self.log_prior = log_class_prior(data.y, len(classes))
        self.mean = torch.stack([self.x[self.y == k].mean(0) for k in classes])
        self.covariance = second_moments(self.x, self.y, self.mean)
        self.total = second_moments(self.x, torch.zeros_like(self.y), self.x.mean(0, keepdim=True))
        within = torch.einsum("k,kij->ij", self.counts / len(self.x), self.covariance)[None]
        self.within = within if (self.counts > 1).any() else self.total
        bins = 0.0 if data.spec.levels is None else 1 / (data.spec.levels - 1) ** 2 / 12
        self.bins = bins + max(FLOOR * float(self.total.diagonal(dim1=1, dim2=2).mean()), 1e-12)


def second_moments(x: Tensor, y: Tensor, mean: Tensor) -> Tensor:
    """The mean of (x - mu_k) (x - mu_k)^T over the rows of class k, (K, D, D); 0 where there is none. x (N, D), mean (K, D)."""
    away = [x[y == k] - mean[k] for k in range(len(mean))]
    return torch.stack([rows.T @ rows / max(len(rows), 1) for rows in away])


def shrunk(covariance: Tensor, share: float) -> Tensor:
    """(1 - share) Sigma + share tr(Sigma) / D I, (..., D, D): towards a sphere of the same total variance.

    Source: J. H. Friedman, "Regularized discriminant analysis", JASA 1989, eq. 18; the target also of O. Ledoit, M. Wolf, 2004.
    """
    spread = covariance.diagonal(dim1=-2, dim2=-1).mean(-1)  # tr(Sigma) / D, (...,)
    return widened((1 - share) * covariance, share * spread[..., None])


def widened(covariance: Tensor, variance: float | Tensor) -> Tensor:
    """Sigma + variance I; the variance a number, or (..., 1) for covariances (..., D, D)."""
    return covariance + torch.diag_embed(torch.zeros_like(covariance[..., 0]) + variance)


def choose(data: TrainingData, candidates: Sequence, laws: Callable[[TrainingData, Sequence], Iterator[tuple]]):
    """Of the candidates that name the held-out labels as well as the best does, but for two standard errors, the likeliest.

    Accuracy alone is a coarse score on few images; the likelihood alone is won by the pixels that hardly ever change, which say
    little of the class. The first is Friedman's criterion, the tolerance that of L. Breiman et al., "Classification and
    regression trees", 1984, section 3.4.3; the likelihood is the mean log p(x, y), of dequantized pixels.

    Args:
        data: of the fit; what is held out are `validation_splits` of it.
        candidates: settings, the most regularised one first: that is the one where no image can be held out.
        laws: yields what each of the candidates makes of a train split, as `keep` takes it.
    """
    parts = validation_splits(data, FOLDS) if len(candidates) > 1 else []
    if not parts:
        return candidates[0]
    found = []
    for part in parts:
        x = part.x_val if part.spec.levels is None else dequantize(part.x_val, part.spec.levels)
        found.append(torch.stack([_judged(x.flatten(1).double(), part.y_val, *law) for law in laws(part, candidates)]))
    likelihood, accuracy = torch.cat(found, 2).mean(2).T  # (candidates, 2, N) -> 2 of (candidates,)
    best, images = accuracy.max(), sum(len(part.y_val) for part in parts)
    share = (best * images + 1) / (images + 2)  # even a perfect score on few images has an error
    tolerated = best - ERRORS * (share * (1 - share) / images).sqrt()
    # Of equals the first; what is not finite never wins.
    return candidates[int(likelihood.nan_to_num(-math.inf).where(accuracy >= tolerated, -math.inf).argmax())]


def _judged(x: Tensor, y: Tensor, log_prior: Tensor, mean: Tensor, covariance: Tensor, log_share: Tensor | None = None) -> Tensor:
    """log p(x, y) of each row in nats, and whether the likeliest class is y, (2, N)."""
    log_share = torch.zeros(len(log_prior), 1) if log_share is None else log_share
    log_likelihood = log_density(x, mean, torch.linalg.cholesky(covariance))  # (N, M)
    joint = (log_likelihood.view(-1, *log_share.shape) + log_share).logsumexp(2) + log_prior  # (N, K, C) -> (N, K)
    return torch.stack([joint.gather(1, y[:, None])[:, 0], (joint.argmax(1) == y).double()])
