"""Gaussian naive Bayes: given the class, the pixels are independent Gaussians.

    p(x, y) = p(y) prod_d N(x_d; mu_yd, sigma_yd^2)

It is fitted in closed form by the mean and the variance of each pixel in each class. It is the generative counterpart of logistic
regression: it learns p(x, y), so it samples, scores images and classifies by Bayes' rule, and it reaches its (higher) asymptotic
error with fewer examples. A pixel may be constant in the few images of a class, and with variance 0 it would rule out that class
for any other value. So each variance is shrunk towards the pixel's variance within all classes.

Reference: R. O. Duda, P. E. Hart, "Pattern Classification and Scene Analysis", Wiley, 1973.
The discriminative counterpart: A. Y. Ng, M. I. Jordan, "On discriminative vs. generative classifiers", NIPS 2001.
https://papers.nips.cc/paper/2001/hash/7b7a53e239400a13bd6be6c91c4f6c4e-Abstract.html
The shrinkage: J. H. Friedman, "Regularized discriminant analysis", Journal of the American Statistical Association 84(405), 1989.
https://doi.org/10.1080/01621459.1989.10478752
"""

import math

import torch
from torch import Tensor, nn

from pofxy.base.bayes import BayesRuleMixin, log_class_prior
from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.tags import Tags
from pofxy.base.visualization import Visualization
from pofxy.nets.gaussian import bin_variance


class GaussianNaiveBayes(BayesRuleMixin, nn.Module):
    """A density over the dequantized pixels; works on tables as well as on images.

    Args:
        shrinkage: weight of the pixel's variance within all classes against that within its class, 0 to 1.
        smoothing: added to each variance, as a share of the largest one, so that a constant pixel has a density.
    """

    tags = Tags(conditional=True, likelihood="density", discriminative_counterpart="logistic_regression")

    log_prior: Tensor
    mean: Tensor
    variance: Tensor

    def __init__(self, shrinkage: float = 0.1, smoothing: float = 0.003):
        super().__init__()
        self.shrinkage = shrinkage
        self.smoothing = smoothing

    def build(self, spec: DataSpec) -> None:
        """Makes buffers for K classes and D pixels."""
        self.shape = spec.shape
        dimensions = math.prod(spec.shape)
        self.register_buffer("log_prior", torch.zeros(spec.classes))
        self.register_buffer("mean", torch.zeros(spec.classes, dimensions))
        self.register_buffer("variance", torch.ones(spec.classes, dimensions))

    def fit(self, data: TrainingData, trainer: object) -> None:
        """Closed form, in float64; the trainer is not used."""
        self.build(data.spec)
        x = data.x.flatten(1).double()  # (N, D)
        classes = range(data.spec.classes)
        counts = torch.bincount(data.y, minlength=data.spec.classes)
        self.log_prior = log_class_prior(data.y, data.spec.classes)
        self.mean = torch.stack([x[data.y == k].mean(0) for k in classes]).to(self.mean.dtype)  # (K, D)
        variance = torch.stack([x[data.y == k].var(0, correction=0) for k in classes])
        within = (counts[:, None] * variance).sum(0) / counts.sum()  # (D,)
        floor = max(self.smoothing * float(x.var(0, correction=0).max()), 1e-9)
        variance = (1 - self.shrinkage) * variance + self.shrinkage * within + bin_variance(data.spec.levels) + floor
        self.variance = variance.to(self.variance.dtype)

    def log_joint(self, x: Tensor) -> Tensor:
        """log p(x, y) in nats, (N, K): a density over pixels in units of their range."""
        x = x.flatten(1)  # (N, D)
        precision = 1 / self.variance  # (K, D)
        # sum_d (x - mu)^2 / sigma^2, multiplied out: no (N, K, D) array is made.
        square = x**2 @ precision.T - 2 * x @ (self.mean * precision).T + (self.mean**2 * precision).sum(1)
        return self.log_prior - 0.5 * (square + (2 * math.pi * self.variance).log().sum(1))

    def decision_function(self, x: Tensor) -> Tensor:
        """The same as `log_joint`, (N, K): by Bayes' rule the largest score belongs to the most probable label."""
        return self.log_joint(x)

    def log_joint_known(self, x: Tensor, known: Tensor) -> Tensor:
        """log p(known pixels, y) in nats, (N, K): the pixels are independent, so the sum leaves out the unknown ones."""
        x = x.flatten(1)  # (N, D)
        known = known.flatten(1).float()  # (N, D)
        precision = 1 / self.variance  # (K, D)
        square = (known * x**2) @ precision.T - 2 * (known * x) @ (self.mean * precision).T + known @ (self.mean**2 * precision).T
        return self.log_prior - 0.5 * (square + known @ (2 * math.pi * self.variance).log().T)

    def inpaint(self, x: Tensor, mask: Tensor) -> Tensor:
        """E[x | known pixels] = sum_y p(y | known pixels) mu_y where the mask is 0: exact, as pixels are independent given y."""
        known = mask.bool().expand_as(x)
        posterior = self.log_joint_known(x.where(known, 0.0), known).softmax(1)  # (N, K)
        return x.where(known, (posterior @ self.mean).clamp(0, 1).view_as(x))  # (N, D) -> (N, C, H, W)

    def sample(self, n: int, labels: Tensor | None = None) -> Tensor:
        """n images, clipped to [0, 1]; the labels are sampled from the class prior where none are given."""
        labels = self.drawn_labels(n) if labels is None else labels
        x = self.mean[labels] + self.variance[labels].sqrt() * torch.randn_like(self.mean[labels])
        return x.clamp(0, 1).view(n, *self.shape)  # (n, D) -> (n, C, H, W)

    def picture(self, x: Tensor, y: Tensor) -> Visualization:
        """The mean image of each class."""
        images = self.mean.view(-1, *self.shape)  # (K, D) -> (K, C, H, W)
        return Visualization(images, columns=min(10, len(images)), caption="The mean of each class, the center of its Gaussian.")
