"""Flow matching: a velocity field that carries noise to data, each point on a straight line from the one to the other.

    x_t = (1 - t) x_0 + t x_1,  x_0 ~ N(0, I),  x_1 of the data:   minimise E |v(x_t, t, y) - (x_1 - x_0)|^2   (Lipman eq. 9, 23)

The best v is the mean velocity of all lines through x_t, and its flow dx/dt = v(x, t) carries the law of the noise to that of the
data. Samples are drawn by solving it from t = 0 to 1, with the label's field or with an exaggerated one (guidance). Solved from 1
to 0 it gives a code, and the density by the instantaneous change of variables:

    log p(x) = log N(x_0; 0, I) - int_0^1 div v(x_t, t) dt

The divergence is exact for few dimensions; else it is e^T (dv/dx) e in the mean, for a random e of signs (Hutchinson). Density
and code are those of the null label: the net has learned the field of all classes together, too. Images are points of their bins,
so that they have a density; the solver's last step is the shortest, for at the end the bins are narrow.

References: Y. Lipman et al., "Flow matching for generative modeling", ICLR 2023; straight lines: X. Liu, C. Gong, Q. Liu, ICLR
2023; the density: R. Chen et al., NeurIPS 2018, theorem 1; W. Grathwohl et al., "FFJORD", ICLR 2019, eq. 8; the solver: K. Heun,
1900; guidance: J. Ho, T. Salimans, arXiv:2207.12598, eq. 6.
"""

import math
from itertools import pairwise

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pofxy.base.bayes import ClassPriorMixin, log_class_prior
from pofxy.base.data import dequantize
from pofxy.base.tags import Tags
from pofxy.base.visualization import Visualization
from pofxy.nets.denoiser import denoiser
from pofxy.training.trainer import Objective

# Up to so many dimensions the divergence is a sum over all of them.
EXACT_TRACE = 16
# In the picture: classes, and times on the way.
PICTURED, STATIONS = 10, 8
# Rows at once for a density: few enough to stay in the processor's cache.
ROWS = 512


class FlowMatching(ClassPriorMixin, nn.Module):
    """Class-conditional, for images of any size and for tables.

    Args:
        width: channels of the U-Net at full size; a table's net has twice as many units a layer.
        dropout: share of a block's features that are dropped.
        sampling_steps: of Heun's method for samples and codes; each asks the net twice.
        density_steps: of the midpoint method for the density.
        guidance: w, by how much the field of the label is exaggerated in sampling; 0 is not at all.
        label_dropout: share of the labels that are replaced by the null label in training.
        ema_decay: decay of the net's average per step.
        steps: batches to train for.
        batch: images in one.
        learning_rate: at its height, of a cosine schedule.
    """

    tags = Tags(conditional=True, likelihood="density", estimator="ODE with Hutchinson's trace", trained_in_steps=True)

    def __init__(
        self,
        width: int = 32,
        dropout: float = 0.0,
        sampling_steps: int = 10,
        density_steps: int = 16,
        guidance: float = 0.0,
        label_dropout: float = 0.2,
        ema_decay: float = 0.99,
        steps: int = 560,
        batch: int = 64,
        learning_rate: float = 3e-3,
    ):
        super().__init__()
        self.width, self.dropout, self.guidance, self.label_dropout = width, dropout, guidance, label_dropout
        self.sampling_steps, self.density_steps, self.ema_decay = sampling_steps, density_steps, ema_decay
        self.steps, self.batch, self.learning_rate = steps, batch, learning_rate

    def build(self, spec):
        """The net, its average, and what standardises x: images by their range, each column of a table by its own mean."""
        self.shape, self.levels, self.dimensions = spec.shape, spec.levels, math.prod(spec.shape)
        self.net = denoiser(spec, self.width, self.dropout)
        self.averaged = AveragedModel(self.net, multi_avg_fn=get_ema_multi_avg_fn(self.ema_decay))
        self.averaged.requires_grad_(False)
        self.register_buffer("log_prior", torch.zeros(spec.classes))
        columns = spec.shape if spec.levels is None else (1,) * len(spec.shape)
        self.register_buffer("centre", torch.full(columns, 0.5))
        self.register_buffer("scale", torch.full(columns, 0.5))

    def fit(self, data, trainer):
        """Trains for all its steps."""
        self.build(data.spec)
        self.log_prior = log_class_prior(data.y, data.spec.classes)
        if self.levels is None:
            deviation = data.x.std(0, correction=0)
            self.centre, self.scale = data.x.mean(0), torch.where(deviation > 0, deviation, 1.0)
        objective = Objective(self._loss, self.net.parameters(), self.learning_rate, on_step_end=self._move_average)
        trainer.run(self, data, [objective], steps=self.steps, batch=self.batch, bfloat16=True)

    def sample(self, n, labels=None):
        """n images, each the level whose bin its point lies in; labels are drawn from the class prior where none are given."""
        labels = self.drawn_labels(n) if labels is None else labels
        *_, points = self._way(torch.randn(n, *self.shape, device=self.centre.device), labels, self.guidance)
        return self._shown(points)

    def encode(self, x):
        """The noise that the null label's field would carry to x, (N, D)."""
        *_, noise = self._way(self._standard(x), self._null(), backward=True)
        return noise.flatten(1)

    def log_prob(self, x):
        """log p(x) in nats, (N,): a density; of more than 16 dimensions an unbiased estimate of what the solver finds."""
        return torch.cat([self._log_prob(rows) for rows in x.split(ROWS)])

    def picture(self, x, y):
        """From noise, left, to an image of each class, right: the points of the solver's last times."""
        labels = torch.arange(min(len(self.log_prior), PICTURED), device=self.centre.device)
        with torch.no_grad():
            way = list(self._way(torch.randn(len(labels), *self.shape, device=labels.device), labels, self.guidance))
        images = torch.stack([self._shown(found) for found in way[-STATIONS:]], 1)  # S of (K, C, H, W) -> (K, S, C, H, W)
        caption = "The way from noise to an image of each class: what the solver's last steps found."
        return Visualization(images.flatten(0, 1), images.shape[1], caption)

    def _log_prob(self, x):
        with torch.inference_mode(False), torch.enable_grad():
            z, y = self._standard(x.clone()), self._null()
            signs = torch.randint(0, 2, z.shape, device=z.device, dtype=z.dtype) * 2 - 1
            total = z.new_zeros(len(z))  # of the divergence from 0 to 1
            for t, step in _grid(self.density_steps, 3, backward=True):
                # By the middle of each step: of a density Heun's method at the same cost errs much more, and to the good side.
                with torch.no_grad():
                    middle = z + step / 2 * self._velocity(z, t, y)
                v, divergence = self._velocity_and_divergence(middle, t + step / 2, y, signs)
                z = z + step * v
                total = total - step * divergence  # backward: step < 0
        log_normal = -0.5 * (z**2).flatten(1).sum(1) - 0.5 * self.dimensions * math.log(2 * math.pi)
        log_scale = self.scale.expand(self.shape).log().sum()
        return (log_normal - total - log_scale).detach()

    def _loss(self, x, y):
        points = self._standard(x if self.levels is None else dequantize(x, self.levels))
        noise = torch.randn_like(points)
        # One time in each of B equal parts: the batch is in random order.
        t = (torch.arange(len(x), device=x.device) + torch.rand(len(x), device=x.device)) / len(x)
        share = t.view(-1, *[1] * (x.ndim - 1))
        velocity = self.net(torch.lerp(noise, points, share), t, self.net.forgetful(y, self.label_dropout))
        return (velocity - (points - noise)).square().mean()

    def _way(self, x, y, guidance=0.0, backward=False):
        """Yields where each step of Heun's method carries x (N, ...) from one end of time to the other."""
        for t, step in _grid(self.sampling_steps, 2, backward):
            v = self._velocity(x, t, y, guidance)
            x = x + step * (v + self._velocity(x + step * v, t + step, y, guidance)) / 2
            yield x

    def _velocity(self, x, t, y, guidance=0.0):
        return self.averaged.module.guided(x, x.new_tensor([t]), y, guidance)

    def _velocity_and_divergence(self, x, t, y, signs):
        """v (N, ...) and div v (N,): exact up to 16 dimensions, else e^T (dv/dx) e for the signs e (N, ...)."""
        x = x.detach().requires_grad_()
        v = self._velocity(x, t, y)
        if self.dimensions > EXACT_TRACE:
            (slope,) = torch.autograd.grad(v, x, signs)  # e^T dv/dx, (N, ...)
            return v.detach(), (slope * signs).flatten(1).sum(1)
        divergence = 0
        for d in range(self.dimensions):
            (slope,) = torch.autograd.grad(v.flatten(1)[:, d].sum(), x, retain_graph=True)
            divergence = divergence + slope.flatten(1)[:, d]
        return v.detach(), divergence

    def _standard(self, x):
        return (x - self.centre) / self.scale

    def _shown(self, z):
        """Standardised points as images of L levels or rows, in [0, 1]."""
        x = (z * self.scale + self.centre).clamp(0, 1)
        return x if self.levels is None else (x * (self.levels - 1)).round() / (self.levels - 1)

    def _null(self):
        return torch.tensor([self.net.null], device=self.centre.device)

    def _move_average(self):
        self.averaged.update_parameters(self.net)


def _grid(steps, power, backward):
    """Yields (t, step) from 0 to 1, or back: 1 - t = (1 - i / steps)^power, the closer together the nearer to the data."""
    times = [1 - (1 - i / steps) ** power for i in range(steps + 1)]
    times = times[::-1] if backward else times
    yield from ((t, next_t - t) for t, next_t in pairwise(times))
