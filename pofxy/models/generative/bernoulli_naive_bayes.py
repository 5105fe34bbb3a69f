"""Bernoulli naive Bayes: given the class, the pixels of a binary image are independent Bernoulli variables.

    p(b, y) = p(y) prod_d theta_yd^b_d (1 - theta_yd)^(1 - b_d),      b_d = [x_d >= 0.5]

theta_yd is the share of images of class y in which pixel d is white, after adding `smoothing` white and as many black ones. This
is the mean of theta's posterior under a Beta prior (Laplace's rule of succession where the smoothing is 1). The model is a mass
over the 2^D binary images.

References: M. E. Maron, "Automatic indexing: an experimental inquiry", Journal of the ACM 8(3), 1961, for features that are
present or absent. https://doi.org/10.1145/321075.321084
The likelihood that counts absent features as well: A. McCallum, K. Nigam, "A comparison of event models for naive Bayes text
classification", AAAI workshop on learning for text categorization, 1998.
The discriminative counterpart: A. Y. Ng, M. I. Jordan, "On discriminative vs. generative classifiers", NIPS 2001.
https://papers.nips.cc/paper/2001/hash/7b7a53e239400a13bd6be6c91c4f6c4e-Abstract.html
"""

import math

import torch
from torch import Tensor, nn

from pofxy.base.bayes import BayesRuleMixin, log_class_prior
from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.tags import Tags
from pofxy.base.visualization import Visualization


class BernoulliNaiveBayes(BayesRuleMixin, nn.Module):
    """An exact mass over images that are binarized at one half; gray images are thresholded first.

    Args:
        smoothing: pseudo-images of each class in which a pixel is white, and as many in which it is black.
    """

    tags = Tags(conditional=True, binarized="threshold", images_only=True, discriminative_counterpart="logistic_regression")

    log_prior: Tensor
    log_white: Tensor
    log_black: Tensor

    def __init__(self, smoothing: float = 0.5):
        super().__init__()
        self.smoothing = smoothing

    def build(self, spec: DataSpec) -> None:
        """Makes buffers for K classes and D pixels. Raises ValueError for tables."""
        if spec.levels is None:
            raise ValueError(f"{spec.name}: Bernoulli naive Bayes thresholds gray levels, and a table has none")
        self.shape = spec.shape
        self.register_buffer("log_prior", torch.zeros(spec.classes))
        # Both are stored: computed from theta in float32, log(1 - theta) would have no digits left where theta is almost 1.
        self.register_buffer("log_white", torch.full((spec.classes, math.prod(spec.shape)), math.log(0.5)))  # log theta
        self.register_buffer("log_black", torch.full((spec.classes, math.prod(spec.shape)), math.log(0.5)))  # log(1 - theta)

    def fit(self, data: TrainingData, trainer: object) -> None:
        """Counts, in float64; the trainer is not used."""
        self.build(data.spec)
        classes = range(data.spec.classes)
        self.log_prior = log_class_prior(data.y, data.spec.classes)
        white = _is_white(data.x)
        counts = torch.bincount(data.y, minlength=data.spec.classes).double()[:, None]  # (K, 1)
        white_counts = torch.stack([white[data.y == k].sum(0) for k in classes])  # (K, D)
        log_total = (counts + 2 * self.smoothing).log()
        self.log_white = ((white_counts + self.smoothing).log() - log_total).float()
        self.log_black = ((counts - white_counts + self.smoothing).log() - log_total).float()

    def log_joint(self, x: Tensor) -> Tensor:
        """log p(b, y) in nats, (N, K): exact, a mass over binary images."""
        return self.log_joint_known(x, torch.ones_like(x, dtype=torch.bool))

    def log_joint_known(self, x: Tensor, known: Tensor) -> Tensor:
        """log p(known pixels of b, y) in nats, (N, K): the pixels are independent, so the sum leaves out the unknown ones."""
        white = _is_white(x)  # (N, D)
        known = known.flatten(1)  # (N, D)
        white_term = (known & white).to(x.dtype) @ self.log_white.T
        return self.log_prior + white_term + (known & ~white).to(x.dtype) @ self.log_black.T

    def inpaint(self, x: Tensor, mask: Tensor) -> Tensor:
        """p(b_d = 1 | known pixels) = sum_y p(y | known) theta_yd where the mask is 0: exact, as pixels are independent."""
        known = mask.bool().expand_as(x)
        posterior = self.log_joint_known(x, known).softmax(1)  # (N, K)
        return x.where(known, (posterior @ self.log_white.exp()).clamp(0, 1).view_as(x))  # (N, D) -> (N, C, H, W)

    def sample(self, n: int, labels: Tensor | None = None) -> Tensor:
        """n binary images, (n, C, H, W); the labels are sampled from the class prior where none are given."""
        labels = self.drawn_labels(n) if labels is None else labels
        return self.log_white.exp().clamp(0, 1)[labels].bernoulli().view(n, *self.shape)  # (n, D) -> (n, C, H, W)

    def picture(self, x: Tensor, y: Tensor) -> Visualization:
        """The mean binary image of each class."""
        images = self.log_white.exp().clamp(0, 1).view(-1, *self.shape)  # (K, D) -> (K, C, H, W)
        caption = "The mean binary image of each class: the probability that a pixel is white."
        return Visualization(images, columns=min(10, len(images)), caption=caption)


def _is_white(x):
    return x.flatten(1) >= 0.5  # (N, D) bool
