"""Kernel density estimation: a Gaussian around each training image of the class, all with the same width.

    p(x | y) = 1 / n_y sum_{i: y_i = y} N(x; x_i, h^2 I)

Only the bandwidth h is fitted: it maximizes the mean log p(x | y) of the val images, dequantized. Dequantization adds the
variance w^2 / 12 to a pixel of bin width w, which is part of that h^2. Bayes' rule is then a vote of all training images, in
which near ones have large weights. To approach the true density, the number of images must grow exponentially with the number of
pixels; good classification needs far fewer.

References: M. Rosenblatt, "Remarks on some nonparametric estimates of a density function", Annals of Mathematical Statistics
27(3), 1956. https://doi.org/10.1214/aoms/1177728190
E. Parzen, "On estimation of a probability density function and mode", Annals of Mathematical Statistics 33(3), 1962.
https://doi.org/10.1214/aoms/1177704472
The bandwidth by held-out likelihood: R. P. W. Duin, "On the choice of smoothing parameters for Parzen estimators of probability
density functions", IEEE Transactions on Computers C-25(11), 1976.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from pofxy.base.bayes import BayesRuleMixin, log_class_prior
from pofxy.base.data import DataSpec, TrainingData, dequantize, validation_splits
from pofxy.base.tags import Tags
from pofxy.base.visualization import Visualization

# Candidate bandwidths, as shares of the root mean variance of the pixels over all classes.
BANDWIDTHS = tuple(0.05 * 1.12**step for step in range(32))
# Val images that choose between them, at most.
MAX_VAL_IMAGES = 1000


class KernelDensity(BayesRuleMixin, nn.Module):
    """A density over the dequantized pixels; works on tables as well as on images. It has no hyperparameter."""

    tags = Tags(conditional=True, likelihood="density", discriminative_counterpart="k_nearest_neighbors")

    log_prior: Tensor
    bandwidth: Tensor
    counts: Tensor
    rows: Tensor

    def build(self, spec: DataSpec) -> None:
        """Makes the buffers; the one for the train images gets the size of the train split in `fit`."""
        self.shape = spec.shape
        self.levels = spec.levels
        self.register_buffer("log_prior", torch.zeros(spec.classes))
        self.register_buffer("bandwidth", torch.ones(()))
        self.register_buffer("counts", torch.zeros(spec.classes, dtype=torch.long))
        self.register_buffer("rows", torch.empty(0, math.prod(spec.shape)))  # (M, D), class after class

    def fit(self, data: TrainingData, trainer: object) -> None:
        """Chooses the bandwidth, then stores the train images; the trainer is not used.

        Gray levels are stored as bytes, a quarter of the memory of floats; tables as they are.
        """
        self.build(data.spec)
        scale = max(float(data.x.var(0, correction=0).mean().sqrt()), 1e-3)
        bandwidths = torch.tensor(BANDWIDTHS) * scale
        # Where no image can be held out, the bandwidths are their own scores: the largest wins, which is the most regular.
        scores = [self._scores(part, bandwidths) for part in validation_splits(data)] or [bandwidths]
        self.bandwidth = bandwidths[torch.stack(scores).mean(0).argmax()]
        self._store(data)

    def log_joint(self, x: Tensor) -> Tensor:
        """log p(x, y) in nats, (N, K): a density over pixels in units of their range."""
        return self.log_joint_known(x, torch.ones_like(x[:1], dtype=torch.bool))

    def decision_function(self, x: Tensor) -> Tensor:
        """The same as `log_joint`, (N, K): by Bayes' rule the largest score belongs to the most probable label."""
        return self.log_joint(x)

    def log_joint_known(self, x: Tensor, known: Tensor) -> Tensor:
        """log p(known pixels, y) in nats, (N, K): the marginal of a kernel is the kernel over the known pixels."""
        return torch.stack([log_kernels.logsumexp(1) for log_kernels, _ in self._log_kernels(x, known)], 1)

    def inpaint(self, x: Tensor, mask: Tensor) -> Tensor:
        """E[x | known pixels] where the mask is 0: the mean of all train images, weighted by their kernels there."""
        known = mask.bool().expand_as(x)
        joint = []
        means = []
        for log_kernels, rows in self._log_kernels(x, known):  # class by class
            joint.append(log_kernels.logsumexp(1))
            means.append(log_kernels.softmax(1) @ rows)  # (N, D)
        posterior = torch.stack(joint, 1).softmax(1)  # (N, K)
        mean = torch.einsum("nk,knd->nd", posterior, torch.stack(means))
        return x.where(known, mean.clamp(0, 1).view_as(x))  # (N, D) -> (N, C, H, W)

    def sample(self, n: int, labels: Tensor | None = None) -> Tensor:
        """n train images of these labels plus the kernel's noise, clipped to [0, 1].

        The labels are sampled from the class prior where none are given.
        """
        labels = self.drawn_labels(n) if labels is None else labels
        place = torch.rand(n, device=labels.device) * self.counts[labels]
        index = self._class_starts()[labels] + place.long().minimum(self.counts[labels] - 1)
        rows = self._to_unit_range(self.rows[index])  # (n, D)
        return (rows + self.bandwidth * torch.randn_like(rows)).clamp(0, 1).view(n, *self.shape)  # (n, D) -> (n, C, H, W)

    def picture(self, x: Tensor, y: Tensor) -> Visualization:
        """The first train image of each class, and a sample of its kernel."""
        rows = self._to_unit_range(self.rows[self._class_starts()[:10]])
        images = torch.cat([rows, (rows + self.bandwidth * torch.randn_like(rows)).clamp(0, 1)])
        caption = f"A training image of each class; below, a sample of the kernel around it, of bandwidth {self.bandwidth:.3g}."
        return Visualization(images.view(-1, *self.shape), columns=len(rows), caption=caption)  # (2 K, D) -> (2 K, C, H, W)

    def _store(self, data):
        """Stores the images of a train split, the centers of the kernels."""
        self.log_prior = log_class_prior(data.y, data.spec.classes)
        self.counts = torch.bincount(data.y, minlength=data.spec.classes)
        rows = data.x.flatten(1)[data.y.argsort(stable=True)]  # (M, D)
        self.rows = rows if self.levels is None else (rows * (self.levels - 1)).round().byte()

    def _scores(self, data, bandwidths):
        """Mean log p(x | y) of the val images under the train images, up to a constant, for each bandwidth, (B,)."""
        index = torch.randperm(len(data.x_val))[:MAX_VAL_IMAGES]
        x = data.x_val[index]
        y = data.y_val[index]
        x = (x if self.levels is None else dequantize(x, self.levels)).flatten(1)  # (N, D)
        total = torch.zeros(len(bandwidths))
        for k in y.unique():
            rows = data.x[data.y == k].flatten(1)
            squares = _squared_distances(x[y == k], rows, torch.ones(1, x.shape[1]))  # (N_k, M_k)
            exponents = torch.stack([(-squares / (2 * h**2)).logsumexp(1).sum() for h in bandwidths])
            total += exponents - len(squares) * math.log(len(rows))
        return total / len(x) - x.shape[1] * bandwidths.log()

    def _log_kernels(self, x: Tensor, known: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """For each class, log of p(y) / n_y N(known of x; known of x_i, h^2 I), (N, n_y), and its train images x_i, (n_y, D)."""
        x = x.flatten(1)  # (N, D)
        known = known.flatten(1)  # (1 or N, D)
        constant = known.sum(1, keepdim=True) * (self.bandwidth.log() + 0.5 * math.log(2 * math.pi))
        for log_prior, rows in zip(self.log_prior, self.rows.split(self.counts.tolist()), strict=True):
            rows = self._to_unit_range(rows).to(x.dtype)
            squares = _squared_distances(x, rows, known)
            yield log_prior - math.log(len(rows)) - constant - squares / (2 * self.bandwidth**2), rows

    def _class_starts(self):
        """Index of the first row of each class, (K,)."""
        return self.counts.cumsum(0) - self.counts

    def _to_unit_range(self, rows):
        return rows if self.levels is None else rows.float() / (self.levels - 1)


def _squared_distances(x, rows, known):
    """Squared distances over the known numbers, (N, M), of x (N, D), rows (M, D) and known (1 or N, D).

    Multiplied out, so that no (N, M, D) array is made; relative to the mean of the rows, so that small numbers are subtracted.
    """
    center = rows.mean(0)
    x = torch.where(known.bool(), x - center, 0)
    rows = rows - center
    return (x**2).sum(1, keepdim=True) - 2 * x @ rows.T + known.to(x.dtype) @ (rows**2).T
