"""Categorical naive Bayes: given the class, the pixels are independent, each with a histogram over the gray levels.

    p(x, y) = p(y) prod_d p_yd(x_d),      p_yd(l) = (n_ydl + a_dl) / (n_y + sum_l a_dl),      a_dl = a + b n_dl / n

n_ydl counts the images of class y whose pixel d has level l. a_dl are the pseudo-counts of a Dirichlet prior, and p_yd is the
posterior mean. With 256 levels the few images of a class leave most cells empty. So the prior is centered on the pixel's
histogram over all classes, n_dl / n, which has more counts, and the images of a class move its histogram away from that. The
distribution of a single pixel can have any form; pixels are independent given the class.

References: I. J. Good, "The Estimation of Probabilities", MIT Press, 1965, for the Dirichlet prior and for one estimated from the
data.
The discriminative counterpart: A. Y. Ng, M. I. Jordan, "On discriminative vs. generative classifiers", NIPS 2001.
https://papers.nips.cc/paper/2001/hash/7b7a53e239400a13bd6be6c91c4f6c4e-Abstract.html
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pofxy.base.bayes import BayesRuleMixin, log_class_prior
from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.tags import Tags
from pofxy.base.visualization import Visualization

# Images at once when counting.
COUNTING_BATCH = 4096


class CategoricalNaiveBayes(BayesRuleMixin, nn.Module):
    """An exact mass over L-level images.

    Args:
        smoothing: a, the pseudo-count of each level of each pixel in each class.
        pooling: b, the number of pseudo-images of each class, with the level histograms of all classes together.
    """

    tags = Tags(conditional=True, images_only=True, discriminative_counterpart="logistic_regression")

    log_prior: Tensor
    log_mass: Tensor

    def __init__(self, smoothing: float = 0.3, pooling: float = 1.0):
        super().__init__()
        self.smoothing = smoothing
        self.pooling = pooling

    def build(self, spec: DataSpec) -> None:
        """Makes buffers for K classes and D pixels of L levels. Raises ValueError for tables."""
        if spec.levels is None:
            raise ValueError(f"{spec.name}: categorical naive Bayes counts gray levels, and a table has none")
        self.shape = spec.shape
        self.levels = spec.levels
        self.register_buffer("log_prior", torch.zeros(spec.classes))
        # One row for each level of each pixel, (D L, K), so that an image selects D rows.
        cells = math.prod(spec.shape) * spec.levels
        self.register_buffer("log_mass", torch.full((cells, spec.classes), -math.log(spec.levels)))

    def fit(self, data: TrainingData, trainer: object) -> None:
        """Counts gray levels, in float64; the trainer is not used."""
        self.build(data.spec)
        classes = data.spec.classes
        self.log_prior = log_class_prior(data.y, classes)
        counts = torch.zeros(self.log_mass.numel(), dtype=torch.long)
        for x, y in zip(data.x.split(COUNTING_BATCH), data.y.split(COUNTING_BATCH), strict=True):
            counts += torch.bincount((self._cells(x) * classes + y[:, None]).flatten(), minlength=len(counts))
        counts = counts.double().view(-1, self.levels, classes)  # (D L K,) -> (D, L, K)
        counts += self.smoothing + self.pooling * counts.sum(2, keepdim=True) / len(data.x)
        self.log_mass = (counts.log() - counts.sum(1, keepdim=True).log()).flatten(0, 1).float()  # (D, L, K) -> (D L, K)

    def log_joint(self, x: Tensor) -> Tensor:
        """log p(x, y) in nats, (N, K): exact, a mass over L-level images."""
        return self.log_prior + F.embedding_bag(self._cells(x), self.log_mass, mode="sum")

    def log_joint_known(self, x: Tensor, known: Tensor) -> Tensor:
        """log p(known pixels, y) in nats, (N, K): the pixels are independent, so the sum leaves out the unknown ones."""
        weights = known.flatten(1).to(self.log_mass.dtype)  # (N, D)
        cells = self._cells(x.where(known, 0.0))
        return self.log_prior + F.embedding_bag(cells, self.log_mass, mode="sum", per_sample_weights=weights)

    def inpaint(self, x: Tensor, mask: Tensor) -> Tensor:
        """E[x | known pixels] = sum_y p(y | known) E[x | y] where the mask is 0: exact, as pixels are independent."""
        known = mask.bool().expand_as(x)
        posterior = self.log_joint_known(x, known).softmax(1)  # (N, K)
        return x.where(known, (posterior @ self._class_means()).view_as(x))  # (N, D) -> (N, C, H, W)

    def sample(self, n: int, labels: Tensor | None = None) -> Tensor:
        """n images, (n, C, H, W); the labels are sampled from the class prior where none are given."""
        labels = self.drawn_labels(n) if labels is None else labels
        levels = torch.empty(n, math.prod(self.shape), dtype=torch.long, device=labels.device)
        mass = self.log_mass.exp().view(-1, self.levels, len(self.log_prior))  # (D L, K) -> (D, L, K)
        for k in labels.unique():
            rows = labels == k
            levels[rows] = torch.multinomial(mass[..., k], int(rows.sum()), replacement=True).T  # (D, n_k) -> (n_k, D)
        return (levels / (self.levels - 1)).view(n, *self.shape)  # (n, D) -> (n, C, H, W)

    def picture(self, x: Tensor, y: Tensor) -> Visualization:
        """The mean image of each class."""
        images = self._class_means().view(-1, *self.shape)  # (K, D) -> (K, C, H, W)
        caption = "The mean image of each class, from the histograms of its pixels."
        return Visualization(images, columns=min(10, len(images)), caption=caption)

    def _cells(self, x):
        """The row of `log_mass` of each pixel's level, (N, D)."""
        levels = (x.flatten(1) * (self.levels - 1)).round().long()
        return levels + self.levels * torch.arange(levels.shape[1], device=x.device)

    def _class_means(self):
        """E[x | y], (K, D)."""
        values = torch.arange(self.levels, device=self.log_mass.device) / (self.levels - 1)  # (L,)
        mass = self.log_mass.exp().view(-1, self.levels, len(self.log_prior))  # (D L, K) -> (D, L, K)
        return torch.einsum("dlk,l->kd", mass, values).clamp(0, 1)
