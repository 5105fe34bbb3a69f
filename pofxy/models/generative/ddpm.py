"""Denoising diffusion: noise is added to an image in T small steps, and a net learns to take it away again.

    q(x_t | x) = N(a_t x, s_t^2 I),   a_t^2 = abar_t = cos^2(pi/2 u_t),   s_t^2 = 1 - abar_t,   u_t evenly from u_1 to u_T = 1
    minimise  E |f(x_t, t, y) - v|^2,   v = a_t e - s_t x,   e the noise of x_t;     the image found is a_t x_t - s_t f(x_t, t, y)

The schedule is the cosine one. Nichol and Dhariwal choose its offset so that the first step's noise is less than a grey level;
here u_1 says it outright. At T nothing of the image is left, which v allows (e would say nothing of x there).

Samples walk from x_T to x_1 over a few of the steps, and then to the levels: with eta 1 each step is drawn from the posterior
q(x_t-1 | x_t, x) at the image found (Ho eq. 6 and 7), with eta 0 no noise is added (Song eq. 12 and 16). The bound, a mass:

    log p(x) >= log p(x | x_1) - sum_t>1 1/2 (abar_t-1 / s_t-1^2 - abar_t / s_t^2) |x - found(x_t)|^2,     L_T = 0 as abar_T = 0

whose sum over t is estimated from a few steps, drawn with known probability. p(x | x_1) is a Gaussian, cut into levels.

References: J. Ho, A. Jain, P. Abbeel, NeurIPS 2020; A. Nichol, P. Dhariwal, ICML 2021, eq. 17; v: T. Salimans, J. Ho, ICLR 2022,
appendix D; J. Song, C. Meng, S. Ermon, ICLR 2021; guidance: J. Ho, T. Salimans, arXiv:2207.12598, eq. 6; the bound by ratios of
signal to noise: D. P. Kingma et al., "Variational diffusion models", NeurIPS 2021, eq. 13; the class by the bound: A. Li et al.,
ICCV 2023.
"""

import math

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pofxy.base.bayes import ClassPriorMixin, log_class_prior
from pofxy.base.tags import Tags
from pofxy.base.visualization import Visualization
from pofxy.nets.denoiser import denoiser
from pofxy.training.trainer import Objective

# Noise of the first step in widths of a grey level: little enough that the level can still be told.
FIRST_NOISE = 0.4
# Deviation of p(x | x_1) in units of the same noise: the net knows x better than x_1 alone tells.
DECODER_DEVIATION = 0.7
# Steps that the bound draws of each image, and more for a small one, so that as many pixels are found as of one with 64.
DRAWS, PIXELS = 32, 2048
# In the picture: test images, and shares of the steps after which they are shown.
PICTURED, SHARES = 6, (0.1, 0.3, 0.5, 0.7)


class DDPM(ClassPriorMixin, nn.Module):
    """Class-conditional, for images of any size.

    Args:
        width: channels of the U-Net at full size.
        dropout: share of a block's features that are dropped.
        timesteps: T, steps of the noise.
        sampling_steps: those of them that sampling takes.
        eta: share of the posterior's deviation that each of these adds: 1 draws from the posterior (DDPM), 0 nothing (DDIM).
        guidance: w, by how much what the label tells is exaggerated in sampling; 0 is not at all.
        label_dropout: share of the labels that are replaced by the null label in training.
        ema_decay: decay of the net's average per step.
        steps: batches to train for.
        batch: images in one.
        learning_rate: at its height, of a cosine schedule.
    """

    tags = Tags(conditional=True, bound="diffusion bound", images_only=True, trained_in_steps=True)

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
        steps: int = 560,
        batch: int = 64,
        learning_rate: float = 3e-3,
    ):
        super().__init__()
        self.width, self.dropout, self.timesteps, self.sampling_steps = width, dropout, timesteps, sampling_steps
        self.eta, self.guidance, self.label_dropout, self.ema_decay = eta, guidance, label_dropout, ema_decay
        self.steps, self.batch, self.learning_rate = steps, batch, learning_rate

    def build(self, spec):
        """The net, its average and the schedule. Raises ValueError for tables."""
        if spec.levels is None:
            raise ValueError(f"{spec.name}: DDPM models grey levels, and a table has none")
        self.shape, self.levels, self.dimensions = spec.shape, spec.levels, math.prod(spec.shape)
        self.net = denoiser(spec, self.width, self.dropout)
        self.averaged = AveragedModel(self.net, multi_avg_fn=get_ema_multi_avg_fn(self.ema_decay))
        self.averaged.requires_grad_(False)
        self.register_buffer("log_prior", torch.zeros(spec.classes))
        self.register_buffer("abar", schedule(self.timesteps, FIRST_NOISE * 2 / (spec.levels - 1)), persistent=False)

    def fit(self, data, trainer):
        """Trains for all its steps."""
        self.build(data.spec)
        self.log_prior = log_class_prior(data.y, data.spec.classes)
        objective = Objective(self._loss, self.net.parameters(), self.learning_rate, on_step_end=self._move_average)
        trainer.run(self, data, [objective], steps=self.steps, batch=self.batch, bfloat16=True)

    def sample(self, n, labels=None):
        """n images of L levels; the labels are drawn from the class prior where none are given."""
        labels = self.drawn_labels(n) if labels is None else labels
        return self._walked(n, labels, self.guidance)

    def inpaint(self, x, mask):
        """The null label's walk, whose known pixels (mask 1) are those of x with the step's noise."""
        known = mask.bool()
        scaled = 2 * torch.where(known, x, 0.5) - 1

        def put_back(x_t, t):
            return torch.where(known, self._noised(scaled, self._step(len(x), t), torch.randn_like(x_t)), x_t)

        return torch.where(known, x, self._walked(len(x), self._null(x), before=put_back))

    def log_prob_bound(self, x):
        """A bound of log p(x) in nats, (N,), the null label's: the net has learned the law of all classes together, too."""
        return self._bound(x, self._null(x)[:, None])[:, 0]

    def log_joint_bound(self, x):
        """A bound of log p(x, y) in nats, (N, K): all classes are asked to take the same noise away."""
        labels = torch.arange(len(self.log_prior), device=x.device).expand(len(x), -1)
        return self.log_prior + self._bound(x, labels)

    @torch.no_grad()
    def picture(self, x, y):
        """Test images with more and more noise, and what the net finds in each of them."""
        x, y = (part[:PICTURED].to(self.abar.device) for part in (2 * x - 1, y))
        row = [x]
        for share in SHARES:
            t = self._step(len(x), round(share * self.timesteps))
            noisy = self._noised(x, t, torch.randn_like(x))
            row += [noisy, self._found(noisy, t, y)]
        images = ((torch.stack(row, 1).flatten(0, 1) + 1) / 2).clamp(0, 1)  # S of (n, C, H, W) -> (n S, C, H, W)
        times = ", ".join(f"{share:.0%}" for share in SHARES)
        caption = f"A test image, and in turn what it is after {times} of the steps, and the image found in that."
        return Visualization(images, len(row), caption)

    def _loss(self, x, y):
        # One time in each of B equal parts: the batch is in random order.
        share = (torch.arange(len(x), device=x.device) + torch.rand(len(x), device=x.device)) / len(x)
        t = (share * self.timesteps).long() + 1
        x, noise = 2 * x - 1, torch.randn_like(x)
        a, s = self._signal_and_noise(t, x)
        predicted = self._asked(self.net, a * x + s * noise, t, self.net.forgetful(y, self.label_dropout))
        return (predicted - (a * noise - s * x)).square().mean()

    def _walked(self, n, labels, guidance=0.0, before=lambda x_t, t: x_t):
        """Images (n, C, H, W) from pure noise, in sampling_steps; `before` changes x_t before the net sees it."""
        x_t = torch.randn(n, *self.shape, device=self.abar.device)
        # From T to 1, evenly in u; then 0, the image.
        steps = torch.linspace(self.timesteps, 1, min(self.sampling_steps, self.timesteps)).round().long().tolist()
        for t, next_t in zip(steps, [*steps[1:], 0]):
            x_t = before(x_t, t)
            found = self._found(x_t, self._step(n, t), labels, guidance)
            x_t = self._stepped(x_t, found, t, next_t)
        x = ((x_t + 1) / 2).clamp(0, 1)
        return (x * (self.levels - 1)).round() / (self.levels - 1)

    def _stepped(self, x_t, found, t, next_t):
        """From x_t to x_next_t, given the image found: DDIM eq. 12, its deviation that of the posterior at eta 1 (eq. 16)."""
        mean, deviation = posterior(x_t, found, self.abar[t], self.abar[next_t], self.eta)
        return mean + deviation * torch.randn_like(x_t) if self.eta else mean

    def _bound(self, x, labels):
        """Bounds of log p(x | y) in nats, (N, M), for labels (N, M) of each image: of the same steps and noise for all M."""
        x, draws = 2 * x - 1, max(DRAWS, PIXELS // self.dimensions)
        first, again = self._step(len(x), 1), max(1, draws // 8)  # draws of x_1, of which all terms are alike
        bound = 0
        for _ in range(again):
            found = self._found_of_each(self._noised(x, first, torch.randn_like(x)), first, labels)
            bound = bound + self._log_level(x, found) / again
        log_noise = (1 - self.abar[1:]).log()  # log s_t^2 of t = 1 .. T, rising
        chance = log_noise.diff() / (log_noise[-1] - log_noise[0])  # of t = 2 .. T: what each would cost with x white noise
        until = chance.cumsum(0)
        ratio = self.abar[1:] / (1 - self.abar[1:])
        weight = -ratio.diff() / 2 / chance / draws  # of t = 2 .. T
        # One step in each of as many parts of equal probability, at places of their own for each image.
        place = (torch.arange(draws, device=x.device)[:, None] + torch.rand(draws, len(x), device=x.device)) / draws
        for index in torch.searchsorted(until, place).clamp(max=len(chance) - 1):
            found = self._found_of_each(self._noised(x, index + 2, torch.randn_like(x)), index + 2, labels)
            bound = bound - weight[index][:, None] * (found - x[:, None]).square().flatten(2).sum(2)
        return bound

    def _log_level(self, x, found):
        """log p(x | x_1) in nats, (N, M), of the images found (N, M, C, H, W): the outermost bins reach to infinity."""
        x, half = x[:, None], 1 / (self.levels - 1)
        deviation = DECODER_DEVIATION * (1 - self.abar[1]).sqrt()
        below, above = (x - half - found) / deviation, (x + half - found) / deviation
        # By symmetry far bins are measured from the side on which float32 still tells the tails apart.
        flipped = below > 0
        below, above = torch.where(flipped, -above, below), torch.where(flipped, -below, above)
        below = torch.where(torch.where(flipped, x > 1 - half, x < half - 1), -math.inf, below)
        above = torch.where(torch.where(flipped, x < half - 1, x > 1 - half), math.inf, above)
        log_above, log_below = torch.special.log_ndtr(above), torch.special.log_ndtr(below)
        return (log_above + torch.log1p(-(log_below - log_above).exp())).flatten(2).sum(2)

    def _found_of_each(self, x_t, t, labels):
        """The images found of x_t (N, C, H, W) by each of its labels (N, M): (N, M, C, H, W)."""
        m = labels.shape[1]
        found = self._found(x_t.repeat_interleave(m, 0), t.repeat_interleave(m), labels.flatten())
        return found.view(-1, m, *self.shape)  # (N M, C, H, W) -> (N, M, C, H, W)

    def _found(self, x_t, t, y, guidance=0.0):
        """The image that the averaged net finds in x_t, within [-1, 1]."""
        a, s = self._signal_and_noise(t, x_t)
        return (a * x_t - s * self._asked(self.averaged.module, x_t, t, y, guidance)).clamp(-1, 1)

    def _asked(self, net, x_t, t, y, guidance=0.0):
        return net.guided(x_t, t / self.timesteps, y, guidance)

    def _noised(self, x, t, noise):
        a, s = self._signal_and_noise(t, x)
        return a * x + s * noise

    def _signal_and_noise(self, t, x):
        """a_t and s_t of t (N,), in a shape that x (N, ...) can be multiplied by."""
        abar = self.abar[t].view(-1, *[1] * (x.ndim - 1))
        return abar.sqrt(), (1 - abar).sqrt()

    def _step(self, n, t):
        return torch.full((n,), t, device=self.abar.device)

    def _null(self, x):
        return torch.full((len(x),), self.net.null, device=x.device)

    def _move_average(self):
        self.averaged.update_parameters(self.net)


def schedule(timesteps, first_noise):
    """abar_0 .. abar_T, (T + 1,): cos^2(pi/2 u), with u from where the noise is first_noise to 1; abar_0 = 1, abar_T = 0."""
    start = 2 / math.pi * math.asin(first_noise)
    u = torch.linspace(start, 1, timesteps, dtype=torch.float64)
    abar = (math.pi / 2 * u).cos() ** 2
    abar[-1] = 0
    return torch.cat([torch.ones(1, dtype=torch.float64), abar]).float()


def posterior(x_t, x, abar, next_abar, eta):
    """Mean and deviation of q(x_s | x_t, x) for s < t, where abar is that of t and next_abar that of s.

    At eta 1 it is the posterior of the chain x -> x_s -> x_t; below 1 it has less deviation, and the same law of x_s given x.
    """
    step = 1 - abar / next_abar  # beta_t, of the step from s to t
    deviation = eta * ((1 - next_abar) / (1 - abar) * step).sqrt()
    noise = (x_t - abar.sqrt() * x) / (1 - abar).sqrt()
    return next_abar.sqrt() * x + (1 - next_abar - deviation**2).clamp(min=0).sqrt() * noise, deviation
