"""Flow matching: a velocity field transports noise to data, trained on straight lines from noise to data.

    x_t = (1 - t) x_0 + t x_1,  x_0 ~ N(0, I),  x_1 of the data:   minimize E |v(x_t, t, y) - (x_1 - x_0)|^2                 (1)
    dx/dt = v(x, t, y)                                                                                                       (2)
    log p(x) = log N(x_0; 0, I) - int_0^1 div v(x_t, t) dt                                                                   (3)

Equation 1 is the conditional flow matching loss (Lipman et al., eq. 9 and 23). The optimal v is the mean velocity of all lines
through x_t, and its flow transports the distribution of the noise to that of the data. Samples are solutions of the ordinary
differential equation (ODE) 2 from t = 0 to 1, with the velocity field of the label or with guidance. Solved from 1 to 0, it gives
the latents, and the density by the instantaneous change of variables (equation 3).

The divergence is exact up to 16 dimensions. The steps of the solver are then halved until log p(x) hardly changes: 16 steps would
be too high by .004 nats on average on `gaussians`, and by .008 and .014 on two tables of eight columns. For more dimensions the
divergence is Hutchinson's estimate e^T (dv/dx) e with random signs e, which is unbiased, and the number of steps is fixed. On
digits 16 steps are .04 nats too high on average, and the estimate for one image has a standard deviation of 5.6 nats. Methods of
higher order need more evaluations for the same error, because the velocity field is rough in t. The steps become shorter towards
the data, where the bins of the levels are narrow.

Density and latents use the null label: with it the net models the velocity field of all classes together. Images are dequantized,
so that they have a density.

References:
    Y. Lipman et al., "Flow matching for generative modeling", ICLR 2023. https://arxiv.org/abs/2210.02747
    Straight lines: X. Liu, C. Gong, Q. Liu, "Flow straight and fast: learning to generate and transfer data with rectified flow",
    ICLR 2023. https://arxiv.org/abs/2209.03003
    The density: R. T. Q. Chen et al., "Neural ordinary differential equations", NeurIPS 2018, theorem 1.
    https://arxiv.org/abs/1806.07366
    Hutchinson's estimate: W. Grathwohl et al., "FFJORD: free-form continuous dynamics for scalable reversible generative models",
    ICLR 2019, eq. 8. https://arxiv.org/abs/1810.01367
    The solver: K. Heun, Zeitschrift fuer Mathematik und Physik 45, 1900.
    Guidance: J. Ho, T. Salimans, "Classifier-free diffusion guidance", 2022, eq. 6. https://arxiv.org/abs/2207.12598
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from pofxy.base.bayes import ClassPriorMixin, log_class_prior
from pofxy.base.data import DataSpec, TrainingData, dequantize
from pofxy.base.hyperparameters import Optimization
from pofxy.base.tags import Tags
from pofxy.base.visualization import Visualization
from pofxy.nets.denoiser import Denoiser, denoiser
from pofxy.nets.ema import exponential_moving_average
from pofxy.training.trainer import Trainer

# Largest number of dimensions for which the divergence is the exact sum over all of them.
EXACT_TRACE = 16
# In the picture: classes, and times on each path.
PICTURED = 10
PICTURED_TIMES = 8
# Where the divergence is exact: the first number of steps for the density, the last, and the change of log p(x) in nats below
# which a row needs no more of them.
MIN_STEPS = 64
MAX_STEPS = 256
TOLERANCE = 1e-2
# Numbers at once for a density: few enough for the net to stay in the processor's cache.
NUMBERS = 2**15


class FlowMatching(ClassPriorMixin, nn.Module):
    """Class-conditional, for images of any size and for tables.

    Args:
        width: channels of the U-Net at full resolution; a table's net has twice as many units per layer.
        dropout: share of a block's features that are dropped.
        sampling_steps: of Heun's method for samples and latents; each evaluates the net twice.
        density_steps: of the midpoint method for the density; where the divergence is exact, as many as it needs.
        guidance: w, weight of classifier-free guidance in sampling; 0 is none.
        label_dropout: share of the labels that are replaced by the null label in training.
        ema_decay: decay of the exponential moving average (EMA) of the net's parameters, per step.
        optimization: steps, batch, learning rate and weight decay; the schedule is a cosine.
    """

    tags = Tags(
        conditional=True,
        likelihood="density",
        log_prob_estimator="ODE with Hutchinson's trace",
        trained_in_steps=True,
        passes=64,
    )
    log_prior: Tensor
    center: Tensor
    scale: Tensor

    def __init__(
        self,
        width: int = 32,
        dropout: float = 0.0,
        sampling_steps: int = 10,
        density_steps: int = 16,
        guidance: float = 0.0,
        label_dropout: float = 0.2,
        ema_decay: float = 0.99,
        optimization: Optimization = Optimization(steps=560, batch=64, learning_rate=3e-3),
    ):
        super().__init__()
        self.width = width
        self.dropout = dropout
        self.sampling_steps = sampling_steps
        self.density_steps = density_steps
        self.guidance = guidance
        self.label_dropout = label_dropout
        self.ema_decay = ema_decay
        self.optimization = optimization

    def build(self, spec: DataSpec) -> None:
        """The net, its EMA, and the standardization of x: images by their range, each column of a table by its own statistics."""
        self.shape = spec.shape
        self.levels = spec.levels
        self.dimensions = math.prod(spec.shape)
        if self.dimensions <= EXACT_TRACE:
            self.tags = replace(self.tags, log_prob_estimator="ODE with the exact trace")
        self.net = denoiser(spec, self.width, self.dropout)
        self.ema = exponential_moving_average(self.net, self.ema_decay)
        self.register_buffer("log_prior", torch.zeros(spec.classes))
        columns = spec.shape if spec.levels is None else (1,) * len(spec.shape)
        self.register_buffer("center", torch.full(columns, 0.5))
        self.register_buffer("scale", torch.full(columns, 0.5))

    def fit(self, data: TrainingData, trainer: Trainer) -> None:
        """Trains for all steps."""
        self.build(data.spec)
        self.log_prior = log_class_prior(data.y, data.spec.classes)
        if self.levels is None:
            deviation = data.x.std(0, correction=0)
            self.center = data.x.mean(0)
            self.scale = torch.where(deviation > 0, deviation, 1.0)
        trainer.minimize(
            self,
            data,
            self._loss,
            self.optimization,
            parameters=self.net.parameters(),
            on_step_end=lambda: self.ema.update_parameters(self.net),
            bfloat16=True,
        )

    def sample(self, n: int, labels: Tensor | None = None) -> Tensor:
        """n images rounded to L levels, or rows; labels are sampled from the class prior where none are given."""
        labels = self.drawn_labels(n) if labels is None else labels
        *_, x_1 = self._solve(torch.randn(n, *self.shape, device=self.center.device), labels, self.guidance)
        return self._to_data(x_1)

    def encode(self, x: Tensor) -> Tensor:
        """The noise that the velocity field of the null label transports to x, (N, D)."""
        *_, noise = self._solve(self._standardize(x), self._null(), backward=True)
        return noise.flatten(1)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats, (N,): a density; above 16 dimensions an unbiased estimate of the solver's result."""
        parts = x.split(max(1, NUMBERS // self.dimensions))
        if self.dimensions > EXACT_TRACE:
            return torch.cat([self._log_density(part, self.density_steps) for part in parts])
        return torch.cat([self._converged_log_density(part) for part in parts])

    def picture(self, x: Tensor, y: Tensor) -> Visualization:
        """The paths from noise, left, to an image of each class, right, at the last times of the solver."""
        labels = torch.arange(min(len(self.log_prior), PICTURED), device=self.center.device)
        with torch.no_grad():
            noise = torch.randn(len(labels), *self.shape, device=labels.device)
            path = list(self._solve(noise, labels, self.guidance))
        images = torch.stack([self._to_data(x_t) for x_t in path[-PICTURED_TIMES:]], 1)  # S of (K, C, H, W) -> (K, S, C, H, W)
        caption = "From noise to an image of each class: the states after the last steps of the solver."
        return Visualization(images.flatten(0, 1), images.shape[1], caption)

    def _converged_log_density(self, x):
        """log p(x) in nats, (N,): the number of steps is doubled for each row until that hardly changes the result.

        The error of the midpoint method falls by 4 from one attempt to the next, so that two of them tell the limit (L. F.
        Richardson, 1911): the result is the finer one plus a third of the change.
        """
        steps = MIN_STEPS
        coarse = self._log_density(x, steps)
        log_density = coarse
        open_rows = torch.arange(len(x), device=x.device)
        while len(open_rows) and steps < MAX_STEPS:
            steps = 2 * steps
            fine = self._log_density(x[open_rows], steps)
            change = fine - coarse
            log_density = log_density.index_copy(0, open_rows, fine + change / 3)
            not_yet = change.abs() > TOLERANCE
            open_rows = open_rows[not_yet]
            coarse = fine[not_yet]
        return log_density

    def _log_density(self, x, steps):
        """log p(x) in nats, (N,), by so many steps of the midpoint method."""
        with torch.inference_mode(False), torch.enable_grad():
            z = self._standardize(x.clone())
            y = self._null()
            signs = torch.randint(0, 2, z.shape, device=z.device, dtype=z.dtype) * 2 - 1
            integral = z.new_zeros(len(z))  # of the divergence from 0 to 1
            for t, step in _time_grid(steps, 3, backward=True):
                # The midpoint method: at the same cost Heun's method has a much larger error in the density, upwards.
                with torch.no_grad():
                    middle = z + step / 2 * self._velocity(z, t, y)
                v, divergence = self._velocity_and_divergence(middle, t + step / 2, y, signs)
                z = z + step * v
                integral = integral - step * divergence  # backward: step < 0
        log_normal = -0.5 * (z**2).flatten(1).sum(1) - 0.5 * self.dimensions * math.log(2 * math.pi)
        log_scale = self.scale.expand(self.shape).log().sum()
        return (log_normal - integral - log_scale).detach()

    def _loss(self, x, y):
        x_1 = self._standardize(x if self.levels is None else dequantize(x, self.levels))
        x_0 = torch.randn_like(x_1)
        # Stratified times, one in each of B equal parts: the batch is in random order.
        t = (torch.arange(len(x), device=x.device) + torch.rand(len(x), device=x.device)) / len(x)
        x_t = torch.lerp(x_0, x_1, t.view(-1, *[1] * (x.ndim - 1)))  # t (N,) -> (N, 1, ...)
        velocity = self.net(x_t, t, self.net.drop_labels(y, self.label_dropout))
        return (velocity - (x_1 - x_0)).square().mean()

    def _solve(self, x, y, guidance=0.0, backward=False) -> Iterator[Tensor]:
        """Yields x (N, ...) after each step of Heun's method, from t = 0 to 1, or backward."""
        for t, step in _time_grid(self.sampling_steps, 2, backward):
            v = self._velocity(x, t, y, guidance)
            x = x + step * (v + self._velocity(x + step * v, t + step, y, guidance)) / 2
            yield x

    def _velocity(self, x, t, y, guidance=0.0):
        return cast(Denoiser, self.ema.module).guided(x, x.new_tensor([t]), y, guidance)

    def _velocity_and_divergence(self, x, t, y, signs):
        """v (N, ...) and div v (N,): exact up to 16 dimensions, else e^T (dv/dx) e for the signs e (N, ...)."""
        x = x.detach().requires_grad_()
        v = self._velocity(x, t, y)
        if self.dimensions > EXACT_TRACE:
            (product,) = torch.autograd.grad(v, x, signs)  # e^T dv/dx, (N, ...)
            return v.detach(), (product * signs).flatten(1).sum(1)
        # Row d of the unit matrix as the direction: the gradient of output d for all x, (D, N, ...), of which entry d is kept.
        unit = torch.eye(self.dimensions, device=x.device, dtype=x.dtype)
        (gradients,) = torch.autograd.grad(v.flatten(1).sum(0), x, unit, is_grads_batched=True)
        return v.detach(), gradients.flatten(2).diagonal(dim1=0, dim2=2).sum(1)  # (D, N, D) -> (N, D) -> (N,)

    def _standardize(self, x):
        return (x - self.center) / self.scale

    def _to_data(self, z):
        """Standardized points as images of L levels or rows, in [0, 1]."""
        x = (z * self.scale + self.center).clamp(0, 1)
        return x if self.levels is None else (x * (self.levels - 1)).round() / (self.levels - 1)

    def _null(self):
        return torch.tensor([self.net.null], device=self.center.device)


def _time_grid(steps: int, power: int, backward: bool) -> Iterator[tuple[float, float]]:
    """Yields (t, step) from 0 to 1, or backward: 1 - t = (1 - i / steps)^power, with shorter steps near the data."""
    times = [1 - (1 - i / steps) ** power for i in range(steps + 1)]
    times = times[::-1] if backward else times
    yield from ((t, next_t - t) for t, next_t in pairwise(times))
