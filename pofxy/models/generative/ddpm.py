"""DDPM: a denoising diffusion probabilistic model. Noise is added in T small steps, and a net is trained to remove it.

    q(x_t | x_0) = N(a_t x_0, s_t^2 I),   a_t^2 = abar_t = cos^2(pi/2 u_t),   s_t^2 = 1 - abar_t                              (1)
    minimize  E |f(x_t, t, y) - v_t|^2,   v_t = a_t e - s_t x_0,   e the noise of x_t                                         (2)
    predicted x_0 = a_t x_t - s_t f(x_t, t, y)                                                                                (3)
    q(x_r | x_t, x_0) = N(a_r x_0 + sqrt(s_r^2 - d^2) (x_t - a_t x_0) / s_t, d^2 I)   for a step r < t,
                        d = eta (s_r / s_t) sqrt(1 - abar_t / abar_r)                                                         (4)
    log p(x) >= log p(x_0 | x_1) - sum_t>1 1/2 (abar_t-1 / s_t-1^2 - abar_t / s_t^2) |x_0 - predicted x_0|^2                  (5)

The schedule is the cosine one, with u_t evenly spaced from u_1 to u_T = 1. Nichol and Dhariwal choose its offset so that the
noise of the first step is less than a gray level; here u_1 follows from that noise directly. At T nothing of the image is left
(abar_T = 0, so the term L_T of the bound is 0). The target v allows that, where a prediction of the noise e would say nothing
about x_0.

Sampling goes from x_T to x_1 over a few of the steps, and then to gray levels. At eta = 1 each step is sampled from the
posterior (4) at the predicted x_0 (Ho et al., eq. 6 and 7); at eta = 0 no noise is added (DDIM: Song et al., eq. 12 and 16).
The bound (5) is one on the probability mass of the L-level image. Its sum over t is estimated from a few steps with known
probability. p(x_0 | x_1) is a Gaussian, integrated over the bins of the levels.

References:
    J. Ho, A. Jain, P. Abbeel, "Denoising diffusion probabilistic models", NeurIPS 2020. https://arxiv.org/abs/2006.11239
    Cosine schedule: A. Nichol, P. Dhariwal, "Improved denoising diffusion probabilistic models", ICML 2021, eq. 17.
    https://arxiv.org/abs/2102.09672
    v: T. Salimans, J. Ho, "Progressive distillation for fast sampling of diffusion models", ICLR 2022, appendix D.
    https://arxiv.org/abs/2202.00512
    DDIM: J. Song, C. Meng, S. Ermon, "Denoising diffusion implicit models", ICLR 2021. https://arxiv.org/abs/2010.02502
    Guidance: J. Ho, T. Salimans, "Classifier-free diffusion guidance", 2022, eq. 6. https://arxiv.org/abs/2207.12598
    The bound by signal-to-noise ratios: D. P. Kingma et al., "Variational diffusion models", NeurIPS 2021, eq. 13.
    https://arxiv.org/abs/2107.00630
    Classification by the bound: A. C. Li et al., "Your diffusion model is secretly a zero-shot classifier", ICCV 2023.
    https://arxiv.org/abs/2303.16203
"""

import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from pofxy.base.bayes import ClassPriorMixin, log_class_prior
from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.hyperparameters import Optimization
from pofxy.base.tags import Tags
from pofxy.base.visualization import Visualization
from pofxy.nets.denoiser import Denoiser, denoiser
from pofxy.nets.ema import exponential_moving_average
from pofxy.training.trainer import Trainer

# Standard deviation of the noise of the first step, in widths of a gray level: small enough to recognize the level.
FIRST_NOISE = 0.4
# Standard deviation of p(x_0 | x_1) in units of the same noise: the predicted x_0 is more accurate than x_1.
DECODER_DEVIATION = 0.7
# Steps of the bound that are sampled for each image; for a small image more, so that DIMENSIONS values are predicted in all.
N_BOUND_SAMPLES = 32
DIMENSIONS = 2048
# Noisy images of the bound that are denoised at once, counting one per label: more do not fit into the processor's cache.
ROWS = 128
# In the picture: test images, and shares of the steps at which they are shown.
PICTURED = 6
PICTURED_SHARES = (0.1, 0.3, 0.5, 0.7)


class DDPM(ClassPriorMixin, nn.Module):
    """Class-conditional, for images of any size.

    Args:
        width: channels of the U-Net at full resolution.
        dropout: share of a block's features that are dropped.
        timesteps: T, steps of the noise.
        sampling_steps: number of them that sampling takes.
        eta: share of the posterior's standard deviation that is added as noise: 1 is DDPM, 0 is DDIM.
        guidance: w, weight of classifier-free guidance in sampling; 0 is none.
        label_dropout: share of the labels that are replaced by the null label in training.
        ema_decay: decay of the exponential moving average (EMA) of the net's parameters, per step.
        optimization: steps, batch, learning rate and weight decay; the schedule is a cosine.
    """

    tags = Tags(
        conditional=True,
        bound="diffusion bound",
        images_only=True,
        trained_in_steps=True,
        passes=36,
        inpainting_passes=25,
    )
    log_prior: Tensor
    alphas_cumprod: Tensor

    def __init__(
        self,
        width: int = 32,
        dropout: float = 0.0,
        timesteps: int = 1000,
        sampling_steps: int = 25,
        eta: float = 0.5,
        guidance: float = 0.0,
        label_dropout: float = 0.2,
        ema_decay: float = 0.99,
        optimization: Optimization = Optimization(steps=560, batch=64, learning_rate=3e-3),
    ):
        super().__init__()
        self.width = width
        self.dropout = dropout
        self.timesteps = timesteps
        self.sampling_steps = sampling_steps
        self.eta = eta
        self.guidance = guidance
        self.label_dropout = label_dropout
        self.ema_decay = ema_decay
        self.optimization = optimization

    def build(self, spec: DataSpec) -> None:
        """The net, its EMA and the schedule. Raises ValueError for tables."""
        if spec.levels is None:
            raise ValueError(f"{spec.name}: DDPM models gray levels, and a table has none")
        self.shape = spec.shape
        self.levels = spec.levels
        self.dimensions = math.prod(spec.shape)
        self.net = denoiser(spec, self.width, self.dropout)
        self.ema = exponential_moving_average(self.net, self.ema_decay)
        self.register_buffer("log_prior", torch.zeros(spec.classes))
        alphas_cumprod = cosine_schedule(self.timesteps, FIRST_NOISE * 2 / (spec.levels - 1))
        self.register_buffer("alphas_cumprod", alphas_cumprod, persistent=False)

    def fit(self, data: TrainingData, trainer: Trainer) -> None:
        """Trains for all steps."""
        self.build(data.spec)
        self.log_prior = log_class_prior(data.y, data.spec.classes)
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
        """n images of L levels; labels are sampled from the class prior where none are given."""
        labels = self.drawn_labels(n) if labels is None else labels
        return self._p_sample_loop(n, labels, self.guidance)

    def inpaint(self, x: Tensor, mask: Tensor) -> Tensor:
        """Unconditional sampling; at each step the known pixels (mask 1) are set to those of x with the noise of the step."""
        known = mask.bool()
        x_0 = 2 * torch.where(known, x, 0.5) - 1

        def set_known(x_t, t):
            return torch.where(known, self.q_sample(x_0, self._step(len(x), t), torch.randn_like(x_t)), x_t)

        return torch.where(known, x, self._p_sample_loop(len(x), self._null(x), before_step=set_known))

    def log_prob_bound(self, x: Tensor) -> Tensor:
        """A bound of log p(x) in nats, (N,), by the null label, with which the net models all classes together."""
        return torch.cat([self._bound(part, self._null(part)[:, None]) for part in x.split(ROWS)])[:, 0]

    def log_joint_bound(self, x: Tensor) -> Tensor:
        """A bound of log p(x, y) in nats, (N, K); all classes share the same noise."""
        labels = torch.arange(len(self.log_prior), device=x.device)
        parts = x.split(max(1, ROWS // len(labels)))
        return self.log_prior + torch.cat([self._bound(part, labels.expand(len(part), -1)) for part in parts])

    @torch.no_grad()
    def picture(self, x: Tensor, y: Tensor) -> Visualization:
        """Test images with more and more noise, each with the x_0 predicted from it."""
        x_0 = (2 * x - 1)[:PICTURED].to(self.alphas_cumprod.device)
        y = y[:PICTURED].to(x_0.device)
        columns = [x_0]
        for share in PICTURED_SHARES:
            t = self._step(len(x_0), round(share * self.timesteps))
            x_t = self.q_sample(x_0, t, torch.randn_like(x_0))
            columns += [x_t, self.predict_x0(x_t, t, y)]
        images = ((torch.stack(columns, 1).flatten(0, 1) + 1) / 2).clamp(0, 1)  # S of (n, C, H, W) -> (n S, C, H, W)
        times = ", ".join(f"{share:.0%}" for share in PICTURED_SHARES)
        caption = f"A test image; then, after {times} of the noise steps, the noisy image and the clean image predicted from it."
        return Visualization(images, len(columns), caption)

    def q_sample(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """A sample of q(x_t | x_0), equation 1, for steps t (N,), given standard normal noise of the shape of x_0 (N, ...)."""
        a, s = self._signal_and_noise(t, x_0)
        return a * x_0 + s * noise

    def predict_x0(self, x_t: Tensor, t: Tensor, y: Tensor, guidance: float = 0.0) -> Tensor:
        """The x_0 that the EMA net predicts from x_t (N, ...), equation 3, clamped to [-1, 1]."""
        a, s = self._signal_and_noise(t, x_t)
        v = cast(Denoiser, self.ema.module).guided(x_t, t / self.timesteps, y, guidance)
        return (a * x_t - s * v).clamp(-1, 1)

    def p_sample(self, x_t: Tensor, x_0: Tensor, t: int, previous_t: int) -> Tensor:
        """From x_t to a sample of x_previous_t by equation 4, given the predicted x_0; both (N, ...)."""
        mean, deviation = q_posterior(x_0, x_t, self.alphas_cumprod[t], self.alphas_cumprod[previous_t], self.eta)
        return mean + deviation * torch.randn_like(x_t) if self.eta else mean

    def _p_sample_loop(
        self,
        n: int,
        labels: Tensor,
        guidance: float = 0.0,
        before_step: Callable[[Tensor, int], Tensor] = lambda x_t, t: x_t,
    ) -> Tensor:
        """Images (n, C, H, W) of L levels from pure noise, in sampling_steps; `before_step` changes x_t before each step."""
        x_t = torch.randn(n, *self.shape, device=self.alphas_cumprod.device)
        # From T to 1, evenly spaced in u; then 0, the image.
        steps = torch.linspace(self.timesteps, 1, min(self.sampling_steps, self.timesteps)).round().long().tolist()
        for t, previous_t in zip(steps, [*steps[1:], 0]):
            x_t = before_step(x_t, t)
            pred_x0 = self.predict_x0(x_t, self._step(n, t), labels, guidance)
            x_t = self.p_sample(x_t, pred_x0, t, previous_t)
        x = ((x_t + 1) / 2).clamp(0, 1)
        return (x * (self.levels - 1)).round() / (self.levels - 1)

    def _loss(self, x, y):
        # Stratified times, one in each of B equal parts: the batch is in random order.
        share = (torch.arange(len(x), device=x.device) + torch.rand(len(x), device=x.device)) / len(x)
        t = (share * self.timesteps).long() + 1
        x_0 = 2 * x - 1
        noise = torch.randn_like(x_0)
        a, s = self._signal_and_noise(t, x_0)
        labels = self.net.drop_labels(y, self.label_dropout)
        predicted_v = self.net(a * x_0 + s * noise, t / self.timesteps, labels)
        return (predicted_v - (a * noise - s * x_0)).square().mean()

    def _bound(self, x, labels):
        """Bounds of log p(x | y) in nats, (N, M), equation 5, for labels (N, M) of each image. All M share steps and noise."""
        x_0 = 2 * x - 1
        n_samples = max(N_BOUND_SAMPLES, DIMENSIONS // self.dimensions)
        n_first = max(1, n_samples // 8)  # samples of the term p(x_0 | x_1)
        first = self._step(len(x), 1)
        bound = 0
        for _ in range(n_first):
            x_1 = self.q_sample(x_0, first, torch.randn_like(x_0))
            bound = bound + self._log_level_mass(x_0, self._predict_x0_per_label(x_1, first, labels)) / n_first
        # The probability of t = 2 .. T is proportional to the increase of log s_t^2: the cost of step t where x_0 is noise.
        log_noise = (1 - self.alphas_cumprod[1:]).log()  # log s_t^2 of t = 1 .. T, rising
        probability = log_noise.diff() / (log_noise[-1] - log_noise[0])  # (T - 1,)
        cumulative = probability.cumsum(0)
        signal_to_noise = self.alphas_cumprod[1:] / (1 - self.alphas_cumprod[1:])  # (T,)
        weight = -signal_to_noise.diff() / 2 / probability / n_samples  # (T - 1,)
        # Stratified: one step in each of n_samples parts of equal probability, with a random place for each image.
        shape = n_samples, len(x)
        quantile = (torch.arange(n_samples, device=x.device)[:, None] + torch.rand(shape, device=x.device)) / n_samples
        for index in torch.searchsorted(cumulative, quantile).clamp(max=len(probability) - 1):
            t = index + 2
            pred_x0 = self._predict_x0_per_label(self.q_sample(x_0, t, torch.randn_like(x_0)), t, labels)
            bound = bound - weight[index][:, None] * (pred_x0 - x_0[:, None]).square().flatten(2).sum(2)
        return cast(Tensor, bound)

    def _log_level_mass(self, x_0, pred_x0):
        """log p(x_0 | x_1) in nats, (N, M), for predictions (N, M, C, H, W): the outermost bins extend to infinity."""
        x_0 = x_0[:, None]  # (N, 1, C, H, W)
        half = 1 / (self.levels - 1)
        deviation = DECODER_DEVIATION * (1 - self.alphas_cumprod[1]).sqrt()
        below = (x_0 - half - pred_x0) / deviation
        above = (x_0 + half - pred_x0) / deviation
        # Bins above the prediction are mirrored: in the lower tail float32 still resolves the difference of the two ends.
        mirrored = below > 0
        below, above = torch.where(mirrored, -above, below), torch.where(mirrored, -below, above)
        below = torch.where(torch.where(mirrored, x_0 > 1 - half, x_0 < half - 1), -math.inf, below)
        above = torch.where(torch.where(mirrored, x_0 < half - 1, x_0 > 1 - half), math.inf, above)
        log_above = torch.special.log_ndtr(above)
        log_below = torch.special.log_ndtr(below)
        return (log_above + torch.log1p(-(log_below - log_above).exp())).flatten(2).sum(2)

    def _predict_x0_per_label(self, x_t, t, labels):
        """The x_0 predicted from x_t (N, C, H, W) with each of its labels (N, M): (N, M, C, H, W)."""
        m = labels.shape[1]
        pred_x0 = self.predict_x0(x_t.repeat_interleave(m, 0), t.repeat_interleave(m), labels.flatten())
        return pred_x0.view(-1, m, *self.shape)  # (N M, C, H, W) -> (N, M, C, H, W)

    def _signal_and_noise(self, t, x):
        """a_t and s_t of steps t (N,), with the number of axes of x (N, ...)."""
        alphas_cumprod = self.alphas_cumprod[t].view(-1, *[1] * (x.ndim - 1))  # (N,) -> (N, 1, ...)
        return alphas_cumprod.sqrt(), (1 - alphas_cumprod).sqrt()

    def _step(self, n, t):
        return torch.full((n,), t, device=self.alphas_cumprod.device)

    def _null(self, x):
        return torch.full((len(x),), self.net.null, device=x.device)


def cosine_schedule(timesteps: int, first_noise: float) -> Tensor:
    """abar_0 .. abar_T of equation 1, (T + 1,), with abar_0 = 1 and abar_T = 0.

    Args:
        timesteps: T.
        first_noise: s_1, the standard deviation of the noise of the first step.
    """
    start = 2 / math.pi * math.asin(first_noise)
    u = torch.linspace(start, 1, timesteps, dtype=torch.float64)
    alphas_cumprod = (math.pi / 2 * u).cos() ** 2
    alphas_cumprod[-1] = 0
    return torch.cat([torch.ones(1, dtype=torch.float64), alphas_cumprod]).float()


def q_posterior(x_0: Tensor, x_t: Tensor, abar_t: Tensor, abar_r: Tensor, eta: float) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of q(x_r | x_t, x_0) for r < t, equation 4.

    At eta = 1 it is the posterior of the Markov chain x_0 -> x_r -> x_t. Below 1 the standard deviation is smaller, and the
    distribution of x_r given x_0 is the same.

    Args:
        x_0: the image.
        x_t: the noisy image.
        abar_t: of step t, a scalar.
        abar_r: of step r, a scalar.
        eta: share of the posterior's standard deviation.
    """
    beta = 1 - abar_t / abar_r  # variance of the noise that the step from r to t adds
    deviation = eta * ((1 - abar_r) / (1 - abar_t) * beta).sqrt()
    noise = (x_t - abar_t.sqrt() * x_0) / (1 - abar_t).sqrt()
    mean = abar_r.sqrt() * x_0 + (1 - abar_r - deviation**2).clamp(min=0).sqrt() * noise
    return mean, deviation
