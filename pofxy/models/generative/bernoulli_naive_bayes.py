"""Bernoulli naive Bayes: given the class, every pixel of a binary image is a coin of its own.

    p(b, y) = p(y) prod_d theta_yd^b_d (1 - theta_yd)^(1 - b_d),      b_d = [x_d >= 0.5]

theta_yd is the share of images of class y in which pixel d is bright, after `smoothing` bright and as many dark ones were added:
Laplace's rule of succession, the mean of theta's posterior under a Beta prior. A mass over binary images, of which there are 2^D.

References: M. E. Maron, "Automatic indexing: an experimental inquiry", Journal of the ACM, 1961, where features are there or not;
the law that counts features absent as well is the first of A. McCallum, K. Nigam, "A comparison of event models for naive Bayes
text classification", AAAI workshop, 1998; the pairing is A. Y. Ng, M. I. Jordan, "On discriminative vs. generative classifiers",
NIPS 2001.
"""

import math

import torch
from torch import nn

from pofxy.base.bayes import BayesRuleMixin, log_class_prior
from pofxy.base.tags import Tags
from pofxy.base.visualization import Visualization


class BernoulliNaiveBayes(BayesRuleMixin, nn.Module):
    """An exact mass over images that are binarized at one half; grey ones are binarized on the way.

    Args:
        smoothing: images of each class with this pixel bright, and as many with it dark, that are added to those seen.
    """

    tags = Tags(conditional=True, binarized="threshold", images_only=True, discriminative_counterpart="logistic_regression")

    def __init__(self, smoothing: float = 0.5):
        super().__init__()
        self.smoothing = smoothing

    def build(self, spec):
        """Buffers for K classes and D pixels. Raises ValueError for tables."""
        if spec.levels is None:
            raise ValueError(f"{spec.name}: Bernoulli naive Bayes takes binary images, and a table has no grey levels to halve")
        self.shape = spec.shape
        self.register_buffer("log_prior", torch.zeros(spec.classes))
        # Both, as log(1 - theta) has no digits left in float32 where theta is almost 1.
        self.register_buffer("log_bright", torch.full((spec.classes, math.prod(spec.shape)), math.log(0.5)))  # log theta
        self.register_buffer("log_dark", torch.full((spec.classes, math.prod(spec.shape)), math.log(0.5)))  # log(1 - theta)

    def fit(self, data, trainer):
        """Counts, in float64."""
        self.build(data.spec)
        self.log_prior = log_class_prior(data.y, data.spec.classes)
        bright = _bright(data.x)
        counts = torch.bincount(data.y, minlength=data.spec.classes).double()[:, None]  # (K, 1)
        seen = torch.stack([bright[data.y == k].sum(0) for k in range(data.spec.classes)])  # (K, D)
        total = (counts + 2 * self.smoothing).log()
        self.log_bright = ((seen + self.smoothing).log() - total).float()
        self.log_dark = ((counts - seen + self.smoothing).log() - total).float()

    def log_joint(self, x):
        """log p(b, y) in nats, (N, K): exact, a mass over binary images."""
        return self.log_joint_known(x, torch.ones_like(x, dtype=torch.bool))

    def log_joint_known(self, x, known):
        """log p(known pixels of b, y) in nats, (N, K): the pixels are independent, so the sum leaves out the unknown ones."""
        bright, known = _bright(x), known.flatten(1)  # (N, D)
        of_bright = (known & bright).to(x.dtype) @ self.log_bright.T
        return self.log_prior + of_bright + (known & ~bright).to(x.dtype) @ self.log_dark.T

    def inpaint(self, x, mask):
        """p(b_d = 1 | known pixels) = sum_y p(y | known) theta_yd where the mask is 0: exact, as pixels are independent."""
        known = mask.bool().expand_as(x)
        posterior = self.log_joint_known(x, known).softmax(1)  # (N, K)
        return x.where(known, (posterior @ self.log_bright.exp()).clamp(0, 1).view_as(x))  # (N, D) -> (N, C, H, W)

    def sample(self, n, labels=None):
        """n binary images, (n, C, H, W); the labels are drawn from the class prior where none are given."""
        labels = self.drawn_labels(n) if labels is None else labels
        return self.log_bright.exp().clamp(0, 1)[labels].bernoulli().view(n, *self.shape)  # (n, D) -> (n, C, H, W)

    def picture(self, x, y):
        """The mean binary image of each class."""
        images = self.log_bright.exp().clamp(0, 1).view(-1, *self.shape)  # (K, D) -> (K, C, H, W)
        caption = "The mean binary image of each class: how likely each pixel is to be bright."
        return Visualization(images, columns=min(10, len(images)), caption=caption)


def _bright(x):
    return x.flatten(1) >= 0.5  # (N, D) bool
