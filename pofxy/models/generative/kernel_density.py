"""Kernel density: a Gaussian around each training image of the class, all of one width.

    p(x | y) = 1 / n_y sum_{i: y_i = y} N(x; x_i, h^2 I)

Nothing is fitted but the bandwidth h, the one under which val is most probable: mean log p(x | y) of its images, dequantized.
What dequantisation adds to the variance of a pixel of bin width w, w^2 / 12, is part of that h^2. Bayes' rule makes a vote of all
training images of it, near ones first. It needs a number of images that grows exponentially with the pixels to come near to the
density; it classifies well long before.

References: M. Rosenblatt, "Remarks on some nonparametric estimates of a density function", Annals of Mathematical Statistics,
1956; E. Parzen, "On estimation of a probability density function and mode", the same, 1962; the bandwidth by the likelihood of
what was held out: R. P. W. Duin, IEEE Transactions on Computers, 1976.
"""

import math

import torch
from torch import nn

from pofxy.base.bayes import BayesRuleMixin, log_class_prior
from pofxy.base.data import dequantize, validation_splits
from pofxy.base.tags import Tags
from pofxy.base.visualization import Visualization

# Bandwidths that are tried, as shares of the root mean variance of the pixels over all classes.
SHARES = tuple(0.05 * 1.12**step for step in range(32))
# Images of val that choose between them.
VALIDATED = 1000


class KernelDensity(BayesRuleMixin, nn.Module):
    """A density over the bins of the pixels; works on tables as it does on images. It has no hyper-parameter."""

    tags = Tags(conditional=True, likelihood="density", discriminative_counterpart="k_nearest_neighbors")

    def build(self, spec):
        """Buffers; those of the train rows take the size of the train split."""
        self.shape, self.levels = spec.shape, spec.levels
        self.register_buffer("log_prior", torch.zeros(spec.classes))
        self.register_buffer("bandwidth", torch.ones(()))
        self.register_buffer("counts", torch.zeros(spec.classes, dtype=torch.long))
        self.register_buffer("rows", torch.empty(0, math.prod(spec.shape)))  # (M, D), class after class

    def fit(self, data, trainer):
        """Chooses the bandwidth, then keeps the train rows: grey levels as bytes, a quarter of the floats; tables as they are."""
        self.build(data.spec)
        scale = max(float(data.x.var(0, correction=0).mean().sqrt()), 1e-3)
        # With nothing held out the widest: the most regular.
        bandwidths = torch.tensor(SHARES) * scale
        scores = [self._scores(part, bandwidths) for part in validation_splits(data)] or [bandwidths]
        self.bandwidth = bandwidths[torch.stack(scores).mean(0).argmax()]
        self._keep(data)

    def log_joint(self, x):
        """log p(x, y) in nats, (N, K): a density over pixels in units of their range."""
        return self.log_joint_known(x, torch.ones_like(x[:1], dtype=torch.bool))

    def decision_function(self, x):
        """log_joint: by Bayes' rule the largest names the label."""
        return self.log_joint(x)

    def log_joint_known(self, x, known):
        """log p(known pixels, y) in nats, (N, K): the marginal of a kernel is the kernel over the known pixels."""
        return torch.stack([kernels.logsumexp(1) for kernels, _ in self._kernels(x, known)], 1)

    def inpaint(self, x, mask):
        """E[x | known pixels] where the mask is 0: the mean of all train rows, weighed by their kernels at the known pixels."""
        known = mask.bool().expand_as(x)
        joint, means = [], []
        for kernels, rows in self._kernels(x, known):  # class by class
            joint.append(kernels.logsumexp(1))
            means.append(kernels.softmax(1) @ rows)  # (N, D)
        posterior = torch.stack(joint, 1).softmax(1)  # (N, K)
        mean = torch.einsum("nk,knd->nd", posterior, torch.stack(means))
        return x.where(known, mean.clamp(0, 1).view_as(x))

    def sample(self, n, labels=None):
        """n train rows of these labels with the kernel's noise, clipped to [0, 1]; labels by the prior where none are."""
        labels = self.drawn_labels(n) if labels is None else labels
        place = torch.rand(n, device=labels.device) * self.counts[labels]
        index = self._first()[labels] + place.long().minimum(self.counts[labels] - 1)
        rows = self._grey(self.rows[index])  # (n, D)
        return (rows + self.bandwidth * torch.randn_like(rows)).clamp(0, 1).view(n, *self.shape)

    def picture(self, x, y):
        """The first train image of each class, and what its kernel makes of it."""
        rows = self._grey(self.rows[self._first()[:10]])
        images = torch.cat([rows, (rows + self.bandwidth * torch.randn_like(rows)).clamp(0, 1)])
        caption = f"A training image of each class; below, a draw from the kernel around it, of bandwidth {self.bandwidth:.3g}."
        return Visualization(images.view(-1, *self.shape), columns=len(rows), caption=caption)  # (2 K, D) -> (2 K, C, H, W)

    def _keep(self, data):
        """Takes the rows of a train split for the kernels' centres."""
        self.log_prior = log_class_prior(data.y, data.spec.classes)
        self.counts = torch.bincount(data.y, minlength=data.spec.classes)
        rows = data.x.flatten(1)[data.y.argsort(stable=True)]  # (M, D)
        self.rows = rows if self.levels is None else (rows * (self.levels - 1)).round().byte()

    def _scores(self, data, bandwidths):
        """Mean log p(x | y) of val under the train rows, for each bandwidth, (B,)."""
        index = torch.randperm(len(data.x_val))[:VALIDATED]
        x, y = data.x_val[index], data.y_val[index]
        x = (x if self.levels is None else dequantize(x, self.levels)).flatten(1)  # (N, D)
        total = torch.zeros(len(bandwidths))
        for k in y.unique():
            rows = data.x[data.y == k].flatten(1)
            squares = _squares(x[y == k], rows, torch.ones(1, x.shape[1]))  # (N_k, M_k)
            exponents = torch.stack([(-squares / (2 * h**2)).logsumexp(1).sum() for h in bandwidths])
            total += exponents - len(squares) * math.log(len(rows))
        return total / len(x) - x.shape[1] * bandwidths.log()  # but for a constant

    def _kernels(self, x, known):
        """Of each class log p(y) / n_y N(known of x; known of x_i, h^2 I), (N, n_y), and its train rows x_i, (n_y, D)."""
        x, known = x.flatten(1), known.flatten(1)  # (N, D), (1 or N, D)
        constant = known.sum(1, keepdim=True) * (self.bandwidth.log() + 0.5 * math.log(2 * math.pi))
        for log_prior, rows in zip(self.log_prior, self.rows.split(self.counts.tolist()), strict=True):
            rows = self._grey(rows).to(x.dtype)
            squares = _squares(x, rows, known)
            yield log_prior - math.log(len(rows)) - constant - squares / (2 * self.bandwidth**2), rows

    def _first(self):
        """Where the rows of each class begin, (K,)."""
        return self.counts.cumsum(0) - self.counts

    def _grey(self, rows):
        return rows if self.levels is None else rows.float() / (self.levels - 1)


def _squares(x, rows, known):
    """Squared distances over the known numbers, (N, M), of x (N, D), rows (M, D) and known (1 or N, D).

    Multiplied out: no (N, M, D) array is made; around the mean of the rows, for then small numbers are subtracted.
    """
    centre = rows.mean(0)
    x, rows = torch.where(known.bool(), x - centre, 0), rows - centre
    return (x**2).sum(1, keepdim=True) - 2 * x @ rows.T + known.to(x.dtype) @ (rows**2).T
