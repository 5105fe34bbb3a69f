"""Categorical naive Bayes: given the class, every pixel draws its grey level from a histogram of its own.

    p(x, y) = p(y) prod_d p_yd(x_d),      p_yd(l) = (n_ydl + a_dl) / (n_y + sum_l a_dl),      a_dl = a + b n_dl / n

n_ydl counts the images of class y whose pixel d has level l; a_dl are the pseudo-counts of a Dirichlet prior, and p_yd its
posterior mean. With 256 levels the few images of a class leave most cells empty. So the prior is drawn towards the pixel's
histogram over all classes, n_dl / n, which is fuller: a class differs from it only as far as its own images say. Whatever form a
pixel's law has, it is learned; that of two pixels together is not.

References: I. J. Good, "The Estimation of Probabilities", MIT Press, 1965, for the Dirichlet prior and one that is read off the
data itself; the pairing is A. Y. Ng, M. I. Jordan, "On discriminative vs. generative classifiers", NIPS 2001.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from pofxy.base.bayes import BayesRuleMixin, log_class_prior
from pofxy.base.tags import Tags
from pofxy.base.visualization import Visualization

# Images at once when counting.
BLOCK = 4096


class CategoricalNaiveBayes(BayesRuleMixin, nn.Module):
    """An exact mass over L-level images.

    Args:
        smoothing: a, the pseudo-count of each level of each pixel in each class.
        pooling: b, pseudo-images of each class, whose levels are spread as in the images of all classes.
    """

    tags = Tags(conditional=True, images_only=True, discriminative_counterpart="logistic_regression")

    def __init__(self, smoothing: float = 0.3, pooling: float = 1.0):
        super().__init__()
        self.smoothing, self.pooling = smoothing, pooling

    def build(self, spec):
        """Buffers for K classes and D pixels of L levels. Raises ValueError for tables."""
        if spec.levels is None:
            raise ValueError(f"{spec.name}: categorical naive Bayes counts grey levels, and a table has none")
        self.shape, self.levels = spec.shape, spec.levels
        self.register_buffer("log_prior", torch.zeros(spec.classes))
        # One row for each level of each pixel: (D L, K), so that an image picks D rows.
        cells = math.prod(spec.shape) * spec.levels
        self.register_buffer("log_mass", torch.full((cells, spec.classes), -math.log(spec.levels)))

    def fit(self, data, trainer):
        """Counts grey levels, in float64."""
        self.build(data.spec)
        classes = data.spec.classes
        self.log_prior = log_class_prior(data.y, classes)
        counts = torch.zeros(self.log_mass.numel(), dtype=torch.long)
        for x, y in zip(data.x.split(BLOCK), data.y.split(BLOCK), strict=True):
            counts += torch.bincount((self._cells(x) * classes + y[:, None]).flatten(), minlength=len(counts))
        counts = counts.double().view(-1, self.levels, classes)  # (D L K,) -> (D, L, K)
        counts += self.smoothing + self.pooling * counts.sum(2, keepdim=True) / len(data.x)
        self.log_mass = (counts.log() - counts.sum(1, keepdim=True).log()).flatten(0, 1).float()

    def log_joint(self, x):
        """log p(x, y) in nats, (N, K): exact, a mass over L-level images."""
        return self.log_prior + F.embedding_bag(self._cells(x), self.log_mass, mode="sum")

    def log_joint_known(self, x, known):
        """log p(known pixels, y) in nats, (N, K): the pixels are independent, so the unknown ones are left out of the sum."""
        weights = known.flatten(1).to(self.log_mass.dtype)  # (N, D)
        cells = self._cells(x.where(known, 0.0))
        return self.log_prior + F.embedding_bag(cells, self.log_mass, mode="sum", per_sample_weights=weights)

    def inpaint(self, x, mask):
        """E[x | known pixels] = sum_y p(y | known) E[x | y] where the mask is 0: exact, as pixels are independent."""
        known = mask.bool().expand_as(x)
        posterior = self.log_joint_known(x, known).softmax(1)  # (N, K)
        return x.where(known, (posterior @ self._mean()).view_as(x))  # (N, D) -> (N, C, H, W)

    def sample(self, n, labels=None):
        """n images, (n, C, H, W); the labels are drawn from the class prior where none are given."""
        labels = self.drawn_labels(n) if labels is None else labels
        levels = torch.empty(n, math.prod(self.shape), dtype=torch.long, device=labels.device)
        mass = self.log_mass.exp().view(-1, self.levels, len(self.log_prior))  # (D L, K) -> (D, L, K)
        for k in labels.unique():
            own = labels == k
            levels[own] = torch.multinomial(mass[..., k], int(own.sum()), replacement=True).T  # (D, n_k) -> (n_k, D)
        return (levels / (self.levels - 1)).view(n, *self.shape)  # (n, D) -> (n, C, H, W)

    def picture(self, x, y):
        """The mean image of each class."""
        images = self._mean().view(-1, *self.shape)  # (K, D) -> (K, C, H, W)
        return Visualization(
            images, columns=min(10, len(images)), caption="The mean of each class, over the histograms of its pixels."
        )

    def _cells(self, x):
        """The row of `log_mass` of each pixel's level, (N, D)."""
        levels = (x.flatten(1) * (self.levels - 1)).round().long()
        return levels + self.levels * torch.arange(levels.shape[1], device=x.device)

    def _mean(self):
        """E[x | y], (K, D)."""
        grey = torch.arange(self.levels, device=self.log_mass.device) / (self.levels - 1)  # (L,)
        mass = self.log_mass.exp().view(-1, self.levels, len(self.log_prior))
        return torch.einsum("dlk,l->kd", mass, grey).clamp(0, 1)
