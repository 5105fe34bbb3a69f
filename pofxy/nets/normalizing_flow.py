"""Normalizing flows: an invertible map f from images to points of a simple base distribution gives an exact density.

    log p(x | y) = log N(f(x); mu_y, diag sigma_y^2) + log |det df(x)/dx|

The class enters by the base distribution alone: one pass through the flow serves all classes, and the base point of x does not
depend on the class. A flow has `build(spec)`, which begins with `start(spec)`, and two maps that are inverse to each other:

    to_base(v)      (N, D) -> z (N, D), log |det dz/dv| (N,)
    from_base(z)    (N, D) -> v (N, D)

Their input is not x itself but v = preprocess(x), in which every pixel has a standard normal distribution. The RealNVP paper
takes the logit of x there, which is the quantile function of the logistic distribution over the range of x. It leaves a pixel
that is nearly always black as far from normal as it was, and affine layers, which shift and scale a pixel by functions of the
others, hardly change the shape of its distribution. Here each pixel goes through its own distribution function and then through
the quantile function of the normal distribution. After 38 core-seconds of RealNVP on MNIST this gives 1.47 bits per dimension on
val in place of 1.86, with all else equal; on digits 1.96 in place of 2.08.

Sources: class-conditional base distributions: D. P. Kingma, P. Dhariwal, "Glow: generative flow with invertible 1x1
convolutions", NeurIPS 2018. https://arxiv.org/abs/1807.03039
P. Izmailov et al., "Semi-supervised learning with normalizing flows", ICML 2020. https://arxiv.org/abs/1912.13025
The preprocessing: S. S. Chen, R. A. Gopinath, "Gaussianization", NIPS 2000.
https://proceedings.neurips.cc/paper/2000/hash/3c947bc2f7ff007b86a9428b74654de5-Abstract.html
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from pofxy.base.bayes import BayesRuleMixin, log_class_prior
from pofxy.base.data import DataSpec, TrainingData, dequantize
from pofxy.base.hyperparameters import Optimization
from pofxy.base.tags import Tags
from pofxy.base.visualization import Visualization
from pofxy.training.trainer import Trainer

# Images from which data-dependent parameters are initialized.
INITIAL_IMAGES = 4096
# The initial variance of a class counts so many further images of variance 1.
PRIOR_IMAGES = 20
# Numbers of an image from which on training in bfloat16 is faster. Below, the many conversions cost more than the products save:
# on 8 x 8 pixels float32 takes a tenth less time per step for Glow, a seventh less for RealNVP.
BFLOAT16_DIMENSIONS = 400
# The visualization: pairs of images, and images of a path from one to the other.
PAIRS = 6
PATH_IMAGES = 7


class NormalizingFlow(BayesRuleMixin, nn.Module):
    """Trained by maximum likelihood on dequantized images, with new noise for each batch.

    Args:
        optimization: steps, batch, learning rate and weight decay of AdamW with a cosine schedule.
        temperature: factor of the base distribution's standard deviation in sampling.
    """

    tags = Tags(conditional=True, likelihood="density")

    log_prior: Tensor
    build: Callable[[DataSpec], None]
    to_base: Callable[[Tensor], tuple[Tensor, Tensor]]
    from_base: Callable[[Tensor], Tensor]

    def __init__(self, optimization: Optimization, temperature: float):
        super().__init__()
        self.optimization = optimization
        self.temperature = temperature

    def start(self, spec: DataSpec) -> None:
        """Sets the sizes, and makes the class prior, the preprocessing and the base distribution."""
        self.shape = spec.shape
        self.levels = spec.levels
        self.dimensions = math.prod(spec.shape)
        self.register_buffer("log_prior", torch.zeros(spec.classes))
        if spec.levels is None:
            self.preprocess = Standardization(self.dimensions)
        else:
            self.preprocess = PixelGaussianization(self.dimensions, spec.levels)
        self.mean = nn.Parameter(torch.zeros(spec.classes, self.dimensions))  # (K, D)
        self.log_std = nn.Parameter(torch.zeros(spec.classes, self.dimensions))

    def fit(self, data: TrainingData, trainer: Trainer) -> None:
        """Trains on the train split and keeps the parameters with the highest density on val."""
        self.build(data.spec)
        self.log_prior = log_class_prior(data.y, data.spec.classes)
        self.preprocess.fit(data.x)
        self._initialize_from_data(data)
        bfloat16 = self.dimensions >= BFLOAT16_DIMENSIONS
        trainer.minimize(self, data, self._loss, self.optimization, validate=self._loss, bfloat16=bfloat16)

    def log_joint(self, x: Tensor) -> Tensor:
        """log p(x, y) in nats, (N, K): exact, a density over pixels in units of their range; -inf outside of all bins."""
        z, log_det = self._base_point(x)
        precision = (-2 * self.log_std).exp()  # (K, D)
        # sum_d (z - mu)^2 / sigma^2, multiplied out: no (N, K, D) array is made.
        square = z**2 @ precision.T - 2 * z @ (self.mean * precision).T + (self.mean**2 * precision).sum(1)
        log_normalizer = self.log_std.sum(1) + 0.5 * self.dimensions * math.log(2 * math.pi)
        return self.log_prior - 0.5 * square - log_normalizer + log_det[:, None]

    def decision_function(self, x: Tensor) -> Tensor:
        """The same as `log_joint`, (N, K): by Bayes' rule the largest score belongs to the most probable label."""
        return self.log_joint(x)

    def sample(self, n: int, labels: Tensor | None = None) -> Tensor:
        """n images, points quantized to the L levels; the labels are sampled from the class prior where none are given."""
        return self._quantize(self.sample_points(self.drawn_labels(n) if labels is None else labels))

    def sample_points(self, labels: Tensor) -> Tensor:
        """One sample of the density for each label (n,), anywhere in the bins: (n, D)."""
        noise = torch.randn_like(self.mean[labels])
        return self.points_of(self.mean[labels] + self.temperature * self.log_std[labels].exp() * noise)

    def encode(self, x: Tensor) -> Tensor:
        """The base point of x, (N, D)."""
        return self._base_point(x)[0]

    def picture(self, x: Tensor, y: Tensor) -> Visualization:
        """Interpolations between pairs of test images, linear between their base points."""
        ends = self.encode(x[: 2 * PAIRS].to(self.mean.device))
        share = torch.linspace(0, 1, PATH_IMAGES, device=ends.device)[:, None]
        paths = [torch.lerp(a, b, share) for a, b in zip(ends[::2], ends[1::2], strict=False)]  # of (PATH_IMAGES, D)
        images = self._quantize(self.points_of(torch.cat(paths))).detach()
        caption = "From one test image, left, to another, right, in a straight line between their base points."
        return Visualization(images, PATH_IMAGES, caption)

    def points_of(self, z: Tensor) -> Tensor:
        """The points x with base points z (N, D), (N, D)."""
        return self.preprocess.inverse(self.from_base(z))

    def initialize(self, v: Tensor) -> None:
        """Initializes data-dependent parameters from a first batch v (N, D); only some flows have any."""

    def _base_point(self, x):
        v, log_slope = self.preprocess(x.flatten(1))  # (N, C, H, W) -> (N, D)
        z, log_det = self.to_base(v)
        return z, log_slope + log_det

    def _quantize(self, x):
        """Points (n, D) as images of L levels, or as rows of a table, in [0, 1]."""
        x = x.clamp(0, 1)
        if self.levels is not None:
            x = (x * (self.levels - 1)).round() / (self.levels - 1)
        return x.view(-1, *self.shape)  # (n, D) -> (n, C, H, W)

    def _dequantize(self, x):
        return x if self.levels is None else dequantize(x, self.levels)

    @torch.no_grad()
    def _initialize_from_data(self, data):
        """Sets the base distribution of each class to the moments of its base points: the classes are apart from the start."""
        index = torch.randperm(len(data.x))[:INITIAL_IMAGES]
        # At least one image of each class.
        index = torch.cat([index, *[torch.nonzero(data.y == k)[:1, 0] for k in range(data.spec.classes)]])
        v, _ = self.preprocess(self._dequantize(data.x[index]).flatten(1))
        self.initialize(v)
        z, _ = self.to_base(v)
        for k in range(data.spec.classes):
            of_class = z[data.y[index] == k]
            self.mean[k] = of_class.mean(0)
            square = of_class.var(0, correction=0) * len(of_class)
            self.log_std[k] = ((square + PRIOR_IMAGES) / (len(of_class) + PRIOR_IMAGES)).log() / 2

    def _loss(self, x, y):
        z, log_det = self._base_point(self._dequantize(x))
        log_std = self.log_std[y]  # (N, D)
        log_base = -0.5 * ((z - self.mean[y]) / log_std.exp()) ** 2 - log_std - 0.5 * math.log(2 * math.pi)
        return -(log_base.sum(1) + log_det).mean()  # nats per image, of a density: it may be negative


class PixelGaussianization(nn.Module):
    """Gives each pixel of an L-level image a standard normal distribution: v_d = Phi^-1(F_d(x_d)).

    F_d is the distribution function of a pixel dequantized uniformly: it rises linearly by p_dl within the bin of level l. p_d is
    the pixel's histogram over N images, shrunk towards the histogram of all pixels, pi:

        p_dl = (n_dl + a pi_l) / (N + a),        a maximizes the likelihood of each image under the histograms of the others

    Args:
        dimensions: D.
        levels: L.
    """

    cdf: Tensor

    def __init__(self, dimensions: int, levels: int):
        super().__init__()
        self.levels = levels
        # float64 throughout: near 1, float32 has no room for the bins of rare levels.
        uniform = torch.linspace(0, 1, levels + 1, dtype=torch.float64)
        self.register_buffer("cdf", uniform.repeat(dimensions, 1))  # (D, L + 1), F_d at the ends of the bins

    def fit(self, x: Tensor) -> None:
        """Estimates the distribution functions from images x (N, C, H, W)."""
        dimensions = len(self.cdf)
        n = len(x)
        counts = torch.zeros(dimensions, self.levels, dtype=torch.float64)
        for part in x.split(INITIAL_IMAGES):
            level = (part.flatten(1) * (self.levels - 1)).round().long()
            counts.scatter_add_(1, level.T, torch.ones(level.T.shape, dtype=torch.float64))
        pooled = (counts.sum(0) + 1) / (counts.sum() + self.levels)  # (L,)

        def leave_one_out_likelihood(weight):
            probability = ((counts - 1).clamp(min=0) + weight * pooled) / (n - 1 + weight)
            return float((counts * probability.log()).sum())

        weight = max((2.0**power for power in range(-2, 9)), key=leave_one_out_likelihood)
        p = (counts + weight * pooled) / (n + weight)
        self.cdf[:, 1:] = p.cumsum(1).clamp(max=1)
        self.cdf[:, -1] = 1

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Points x (N, D) -> v (N, D) and log |det dv/dx| (N,), -inf where x lies outside of the bins."""
        place = x.double() * (self.levels - 1) + 0.5  # in bins, from the lower end of the first one
        # A float32 point of the outermost bin may lie on its end, or a little beyond it by rounding.
        rounding = 2e-7 * self.levels
        inside = ((place >= -rounding) & (place <= self.levels + rounding)).all(1)
        place = place.clamp(1e-7, self.levels - 1e-7)
        level = place.detach().long()
        below, above = self._bin_ends(level)
        v = torch.special.ndtri(below + (above - below) * (place - level))
        slope = ((above - below) * (self.levels - 1)).log() + 0.5 * v**2 + 0.5 * math.log(2 * math.pi)
        return v.to(x.dtype), torch.where(inside, slope.sum(1), -math.inf).to(x.dtype)

    def inverse(self, v: Tensor) -> Tensor:
        """v (N, D) -> points of the bins, (N, D)."""
        share = torch.special.ndtr(v.double())
        level = (torch.searchsorted(self.cdf, share.T.contiguous(), right=True) - 1).T.clamp(0, self.levels - 1)
        below, above = self._bin_ends(level)
        return ((level + (share - below) / (above - below) - 0.5) / (self.levels - 1)).to(v.dtype)

    def _bin_ends(self, level):
        """F_d at the lower and the upper end of the bin of each level (N, D)."""
        index = level + torch.arange(len(self.cdf), device=level.device) * (self.levels + 1)
        return self.cdf.flatten()[index], self.cdf.flatten()[index + 1]


class Standardization(nn.Module):
    """Shifts and scales each column of a table to mean 0 and variance 1.

    Args:
        dimensions: D.
    """

    center: Tensor
    scale: Tensor

    def __init__(self, dimensions: int):
        super().__init__()
        self.register_buffer("center", torch.zeros(dimensions))
        self.register_buffer("scale", torch.ones(dimensions))

    def fit(self, x: Tensor) -> None:
        """Estimates mean and scale from rows x (N, D). The scale has a lower limit, so that a constant column has a density."""
        self.center = x.mean(0)
        scale = x.std(0, correction=0)
        self.scale = scale.clamp(min=max(1e-3 * float(scale.max()), 1e-6))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Rows x (N, D) -> v (N, D) and log |det dv/dx| (N,)."""
        return (x - self.center) / self.scale, -self.scale.log().sum().expand(len(x))

    def inverse(self, v: Tensor) -> Tensor:
        """v (N, D) -> rows (N, D)."""
        return v * self.scale + self.center
