"""Variational autoencoder: a code drawn from a normal law, decoded to a law over images; both nets trained on one bound.

    log p(x) >= E_q(z|x) [log p(x | z)] - beta KL(q(z | x) || p(z)),      p(z) = N(0, I)      (the ELBO at beta = 1, eq. 3)
    log p(x) >= E log 1/k sum_i p(x | z_i) p(z_i) / q(z_i | x),           z_1 .. z_k ~ q(z | x)      (IWAE, tighter)

q(z | x) is a Gaussian whose mean and variance the encoder gives. p(x | z) has independent pixels, each a mixture of logistic laws
cut into the L grey levels: the bound is one on the mass of the L-level image, comparable in bits per dimension. With k draws of
the code the second bound is trained on; there beta is the power of p(z) / q(z | x), and at k = 1 the two are the same.

References: D. P. Kingma, M. Welling, "Auto-encoding variational Bayes", ICLR 2014; beta: I. Higgins et al., ICLR 2017; k codes:
Y. Burda, R. Grosse, R. Salakhutdinov, ICLR 2016, eq. 8; the law of the pixels: `nets/discretized_logistic_mixture.py`.
"""

import math

import torch
from torch import nn

from pofxy.base.tags import Tags
from pofxy.nets.discretized_logistic_mixture import DiscretizedLogisticMixture
from pofxy.nets.dropout import Dropout
from pofxy.training.trainer import Objective

# After some ten, the filling moves little.
INPAINTING_ROUNDS = 30


class VAE(nn.Module):
    """Encoder and decoder are fully connected nets, as in the paper.

    Args:
        latent_dim: Z, the dimensions of the code.
        hidden: units of a hidden layer: the encoder has one, the decoder two.
        dropout: share of hidden units that are dropped in training, one layer of each net: small data sets are learned by heart.
        beta: weight of the KL term in training.
        n_importance_samples: k, codes per image in training.
        steps: batches to train for.
        batch: images in one.
        learning_rate: at its height, of a cosine schedule.
        weight_decay: of AdamW.
    """

    tags = Tags(images_only=True, trained_in_steps=True)

    def __init__(
        self,
        latent_dim: int = 16,
        hidden: int = 512,
        dropout: float = 0.2,
        beta: float = 1.0,
        n_importance_samples: int = 1,
        steps: int = 2000,
        batch: int = 128,
        learning_rate: float = 2e-3,
        weight_decay: float = 0.1,
    ):
        super().__init__()
        self.latent_dim, self.hidden, self.dropout, self.beta, self.n_importance_samples = (
            latent_dim,
            hidden,
            dropout,
            beta,
            n_importance_samples,
        )
        self.steps, self.batch = steps, batch
        self.learning_rate, self.weight_decay = learning_rate, weight_decay

    def build(self, spec):
        """Layers for images of L levels. Raises ValueError for tables."""
        if spec.levels is None:
            raise ValueError(f"{spec.name}: the VAE models grey levels, and a table has none")
        self.shape, dimensions = spec.shape, math.prod(spec.shape)
        self.law = DiscretizedLogisticMixture(spec.levels)
        self.encoder = nn.Sequential(
            nn.Linear(dimensions, self.hidden),
            nn.ReLU(),
            Dropout(self.dropout),
            nn.Linear(self.hidden, 2 * self.latent_dim),
        )
        self.decoder = nn.Sequential(
            nn.Linear(self.latent_dim, self.hidden),
            nn.ReLU(),
            nn.Linear(self.hidden, self.hidden),
            nn.ReLU(),
            Dropout(self.dropout),
            nn.Linear(self.hidden, self.law.size * dimensions),
        )

    def fit(self, data, trainer):
        """Trains on the train split; keeps the parameters of the highest bound on val."""
        self.build(data.spec)
        objective = Objective(self._loss, self.parameters(), self.learning_rate, weight_decay=self.weight_decay)
        trainer.run(self, data, [objective], steps=self.steps, batch=self.batch, validate=self._loss, bfloat16=True)

    def log_weight(self, x):
        """log p(x, z) - log q(z | x) in nats for one z of the posterior, (N,): p(x) a mass over L-level images."""
        log_mass, log_ratio, _ = self._drawn(x)
        return log_mass + log_ratio

    def sample(self, n, labels=None):
        """n images drawn from p(x | z), z from the prior. It knows no labels."""
        z = torch.randn(n, self.latent_dim, device=next(self.parameters()).device)
        return self.law.sample(self.decoder(z)).view(n, *self.shape)  # (n, D) -> (n, C, H, W)

    def encode(self, x):
        """The posterior mean of z, (N, Z)."""
        return self._posterior(x)[0]

    def decode(self, z):
        """The mean image of p(x | z), (N, C, H, W), of codes (N, Z)."""
        return self.law.mean(self.decoder(z)).view(len(z), *self.shape)

    def reconstruct(self, x):
        """The mean image of p(x | z) at the posterior mean of z."""
        return self.decode(self.encode(x))

    def inpaint(self, x, mask):
        """Unknown pixels (mask 0) from the known ones: reconstruct, put back what is known, and again, from middle grey.

        The chain of D. J. Rezende, S. Mohamed, D. Wierstra, ICML 2014, appendix F, with means in place of its draws.
        """
        known = mask.bool()
        filled = torch.where(known, x, 0.5)
        for _ in range(INPAINTING_ROUNDS):
            filled = torch.where(known, x, self.reconstruct(filled))
        return filled

    def _loss(self, x, y):
        log_mass, log_ratio, rate = (
            part.view(self.n_importance_samples, -1) for part in self._drawn(x.repeat(self.n_importance_samples, 1, 1, 1))
        )
        distortion = -log_mass.mean()
        if self.n_importance_samples == 1:
            # Here the expectation of the ratio over q is known: the KL term, appendix B of the paper.
            bound = log_mass - self.beta * rate
        else:
            bound = (log_mass + self.beta * log_ratio).logsumexp(0) - math.log(self.n_importance_samples)  # (k, N) -> (N,)
        return {"loss": -bound.mean(), "distortion": distortion, "rate": rate.mean()}

    def _drawn(self, x):
        """Of a code z drawn for each image: log p(x | z), log p(z) - log q(z | x), and KL(q(z | x) || p(z)), (N,) nats each."""
        mean, log_variance = self._posterior(x)  # (N, Z) each
        noise = torch.randn_like(mean)
        z = mean + (log_variance / 2).exp() * noise
        # The normalisers 2 pi of prior and posterior cancel.
        log_ratio = 0.5 * (noise**2 + log_variance - z**2).sum(1)
        rate = 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum(1)
        return self.law.log_mass(x, self.decoder(z)), log_ratio, rate

    def _posterior(self, x):
        mean, log_variance = self.encoder(2 * x.flatten(1) - 1).float().chunk(2, dim=1)  # (N, 2 Z) -> 2 of (N, Z)
        return mean, log_variance.clamp(-12, 12)
