"""Variational autoencoder: a code drawn from a normal law, decoded to a law over images; both nets trained on one bound.

    log p(x) >= E_q(z|x) [log p(x | z)] - beta KL(q(z | x) || p(z)),      p(z) = N(0, I)      (the ELBO at beta = 1, eq. 3)

q(z | x) is a Gaussian whose mean and variance the encoder gives, and p(x | z) an independent logistic law for every pixel, cut
into the L grey levels: the bound is one on the mass of the L-level image, comparable in bits per dimension. Scored with k codes
per image, the importance-weighted bound is tighter: log p(x) >= E log 1/k sum_i p(x, z_i) / q(z_i | x).

References: D. P. Kingma, M. Welling, "Auto-encoding variational Bayes", ICLR 2014; beta: I. Higgins et al., ICLR 2017; k codes:
Y. Burda, R. Grosse, R. Salakhutdinov, ICLR 2016; the discretised logistic law: D. P. Kingma et al., "Improved variational
inference with inverse autoregressive flow", NIPS 2016.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from pofxy.training import Player

# After some ten, the filling moves little.
INPAINTING_ROUNDS = 30


class VAE(nn.Module):
    """Encoder and decoder are fully connected nets, as in the paper.

    Args:
        codes: Z, the dimensions of the code.
        hidden: units of a hidden layer: the encoder has one, the decoder two.
        dropout: share of the encoder's hidden units that are dropped: it is the encoder that learns a small data set by heart.
        beta: weight of the KL term in training.
        steps: batches to train for.
        batch: images in one.
        learning_rate: at its height, of a cosine schedule.
    """

    images_only = True  # it cannot be fitted to a table

    def __init__(
        self,
        codes: int = 16,
        hidden: int = 512,
        dropout: float = 0.2,
        beta: float = 1.0,
        steps: int = 2000,
        batch: int = 128,
        learning_rate: float = 2e-3,
    ):
        super().__init__()
        self.codes, self.hidden, self.dropout, self.beta = codes, hidden, dropout, beta
        self.steps, self.batch, self.learning_rate = steps, batch, learning_rate

    def build(self, spec):
        """Layers for images of L levels. Raises ValueError for tables."""
        if spec.levels is None:
            raise ValueError(f"{spec.name}: the VAE models grey levels, and a table has none")
        self.shape, self.levels, self.dimensions = spec.shape, spec.levels, math.prod(spec.shape)
        self.encoder = nn.ModuleList([nn.Linear(self.dimensions, self.hidden), nn.Linear(self.hidden, 2 * self.codes)])
        self.decoder = nn.Sequential(
            nn.Linear(self.codes, self.hidden),
            nn.ReLU(),
            nn.Linear(self.hidden, self.hidden),
            nn.ReLU(),
            nn.Linear(self.hidden, 2 * self.dimensions),
        )

    def fit(self, data, trainer):
        """Trains on the train split; keeps the parameters of the highest bound on val."""
        self.build(data.spec)
        player = Player(self._loss, self.parameters(), self.learning_rate)
        trainer.run(self, data, [player], steps=self.steps, batch=self.batch, validate=self._loss, bfloat16=True)

    def log_weight(self, x):
        """log p(x, z) - log q(z | x) in nats for one z of the posterior, (N,): p(x) a mass over L-level images."""
        mean, log_variance = self._posterior(x)  # (N, Z) each
        noise = torch.randn_like(mean)
        z = mean + (log_variance / 2).exp() * noise
        # The normalisers 2 pi of prior and posterior cancel.
        log_ratio = 0.5 * (noise**2 + log_variance - z**2).sum(1)  # log p(z) - log q(z | x), (N,)
        return self._log_mass(x, self._decode(z)) + log_ratio

    def sample(self, n, labels=None):
        """n images drawn from p(x | z), z from the prior; quantised to the L levels. It knows no labels."""
        centre, log_scale = self._decode(torch.randn(n, self.codes, device=self._device()))
        u = torch.rand_like(centre).clamp(1e-5, 1 - 1e-5)
        x = centre + log_scale.exp() * (u.log() - (1 - u).log())  # the inverse of the logistic law
        levels = (x.clamp(0, 1) * (self.levels - 1)).round()
        return (levels / (self.levels - 1)).view(n, *self.shape)  # (n, D) -> (n, C, H, W)

    def reconstruct(self, x):
        """The mean image of p(x | z) at the posterior mean of z."""
        centre, log_scale = self._decode(self._posterior(x)[0])
        scale = log_scale.exp()
        # The mean of a logistic law whose tails are gathered at 0 and 1 is the integral over t in [0, 1] of P(x > t).
        mean = scale * (F.softplus(centre / scale) - F.softplus((centre - 1) / scale))
        return mean.clamp(0, 1).view(x.shape)  # (N, D) -> (N, C, H, W)

    def inpaint(self, x, mask):
        """Unknown pixels (mask 0) from the known ones: reconstruct, put back what is known, and again, from middle grey.

        The chain of D. J. Rezende, S. Mohamed, D. Wierstra, ICML 2014, appendix F, with means in place of its draws.
        """
        known = mask.bool()
        filled = torch.where(known, x, 0.5)
        for _ in range(INPAINTING_ROUNDS):
            filled = torch.where(known, x, self.reconstruct(filled))
        return filled

    def encode(self, x):
        """The posterior mean of z, (N, Z)."""
        return self._posterior(x)[0]

    def _loss(self, x, y):
        mean, log_variance = self._posterior(x)
        z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        distortion = -self._log_mass(x, self._decode(z)).mean()
        rate = 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum(1).mean()  # the KL term, appendix B
        return {"loss": distortion + self.beta * rate, "distortion": distortion, "rate": rate}

    def _posterior(self, x):
        hidden = self.encoder[0](2 * x.flatten(1) - 1).relu()
        if self.training:
            # Dropout by uniform numbers: nn.Dropout's Bernoulli ones take four times as long, a fifth of a step on small images.
            kept = torch.rand(hidden.shape, device=x.device) > self.dropout
            hidden = hidden * kept / (1 - self.dropout)
        mean, log_variance = self.encoder[1](hidden).float().chunk(2, dim=1)  # (N, 2 Z) -> 2 of (N, Z)
        return mean, log_variance.clamp(-12, 12)

    def _decode(self, z):
        """Centre and log-scale of each pixel's logistic law, (N, D) each."""
        centre, log_scale = self.decoder(z).float().chunk(2, dim=1)  # (N, 2 D) -> 2 of (N, D)
        return centre + 0.5, (log_scale - 2).clamp(-7, 7)

    def _log_mass(self, x, law):
        """log p(x | z) in nats, (N,): the mass of each pixel's bin; the outermost bins reach to infinity."""
        centre, log_scale = law
        x, half, precision = x.flatten(1), 0.5 / (self.levels - 1), (-log_scale).exp()
        middle, reach = (x - centre) * precision, half * precision  # the bin in units of the scale: middle +- reach
        # log(s(m + r) - s(m - r)) = log s(m + r) + log s(r - m) + log(1 - exp(-2 r)). An open end lies so far out that its term
        # is 0, and with it its gradient; then the last term goes, too.
        top, bottom = (x > 1 - half).float(), (x < half).float()
        ends = F.logsigmoid(middle + reach + 1e4 * top) + F.logsigmoid(reach - middle + 1e4 * bottom)
        return (ends + (1 - top - bottom) * torch.log(-torch.expm1(-2 * reach))).sum(1)

    def _device(self):
        return next(self.parameters()).device
