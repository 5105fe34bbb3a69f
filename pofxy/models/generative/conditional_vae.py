"""Conditional VAE: a variational autoencoder that is told the label, in its encoder, its decoder and its prior.

    log p(x | y) >= E_q(z|x,y) [log p(x | z, y)] - beta KL(q(z | x, y) || p(z | y))         (eq. 4 of Sohn et al.; beta = 1)
    log p(x | y) >= E log 1/k sum_i p(x | z_i, y) p(z_i | y) / q(z_i | x, y)                (IWAE-k, what it is scored by)

p(z | y) is a Gaussian for each class, or a mixture of some, learned with the nets: codes drawn from it fall where the decoder
was trained. Bayes' rule over the second bound classifies. With beta below 1 the codes say more of the image than is good for the
bound: on large images, where the bound is made of pixels that nobody sees, samples are sharper for it.

References: K. Sohn, H. Lee, X. Yan, NIPS 2015; D. P. Kingma, D. J. Rezende, S. Mohamed, M. Welling, NIPS 2014 (their M2 with all
labels known); a mixture as prior: J. M. Tomczak, M. Welling, AISTATS 2018; k draws: Y. Burda et al., ICLR 2016, eq. 8.
"""

import math
from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional as F

from pofxy.base.bayes import BayesRuleConditionalBoundMixin, log_class_prior
from pofxy.base.tags import Tags
from pofxy.base.visualization import Visualization
from pofxy.nets.discretized_logistic_mixture import DiscretizedLogisticMixture
from pofxy.nets.dropout import Dropout
from pofxy.training.trainer import Objective

# Draws per class when it classifies: many images are asked for, and all classes share the same few.
CLASSIFYING_DRAWS = 4
# Share of the draws of log_prob_bound that go to any class, however unlikely, so that no weight is ever huge.
ANY_CLASS = 0.02
# Codes decoded at once: more would leave the processor's cache.
ROWS = 2048
INPAINTING_ROUNDS = 10
PICTURED = 6


class ConditionalVAE(BayesRuleConditionalBoundMixin, nn.Module):
    """Encoder and decoder are fully connected nets.

    Args:
        latent_dim: Z, the dimensions of the code.
        hidden: units of a hidden layer: the encoder has one, the decoder two.
        components: M, Gaussians in the mixture p(z | y) of each class.
        dropout: share of hidden units that are dropped in training, one layer of each net: small data sets are learned by heart.
        beta: weight of the KL term in training.
        n_importance_samples: k, codes per image in the bounds that it is scored by.
        steps: batches to train for.
        batch: images in one.
        learning_rate: at its height, of a cosine schedule.
        weight_decay: of AdamW.
    """

    tags = Tags(conditional=True, bound="IWAE-32", images_only=True, trained_in_steps=True)

    def __init__(
        self,
        latent_dim: int = 16,
        hidden: int = 512,
        components: int = 1,
        dropout: float = 0.2,
        beta: float = 1.0,
        n_importance_samples: int = 32,
        steps: int = 1000,
        batch: int = 128,
        learning_rate: float = 2e-3,
        weight_decay: float = 0.1,
    ):
        super().__init__()
        self.latent_dim, self.hidden, self.components, self.dropout = latent_dim, hidden, components, dropout
        self.beta, self.n_importance_samples = beta, n_importance_samples
        self.tags = replace(self.tags, bound=f"IWAE-{n_importance_samples}")
        self.steps, self.batch = steps, batch
        self.learning_rate, self.weight_decay = learning_rate, weight_decay

    def build(self, spec):
        """Layers for images of L levels and K classes. Raises ValueError for tables."""
        if spec.levels is None:
            raise ValueError(f"{spec.name}: ConditionalVAE models grey levels, and a table has none")
        self.shape, self.classes, dimensions = spec.shape, spec.classes, math.prod(spec.shape)
        self.law = DiscretizedLogisticMixture(spec.levels)
        self.encoder = nn.Sequential(
            nn.Linear(dimensions + self.classes, self.hidden),
            nn.ReLU(),
            Dropout(self.dropout),
            nn.Linear(self.hidden, 2 * self.latent_dim),
        )
        self.decoder = nn.Sequential(
            nn.Linear(self.latent_dim + self.classes, self.hidden),
            nn.ReLU(),
            nn.Linear(self.hidden, self.hidden),
            nn.ReLU(),
            Dropout(self.dropout),
            nn.Linear(self.hidden, self.law.size * dimensions),
        )
        # p(z | y): logits of the shares (K, M), means (K, M, Z), and inverse Cholesky factors (I + T) / s: T strictly
        # lower triangular (K, M, Z, Z) and s (K, M, Z): of determinant prod 1 / s, and always invertible.
        self.share = nn.Parameter(torch.zeros(self.classes, self.components))
        self.mean = nn.Parameter(0.3 * torch.randn(self.classes, self.components, self.latent_dim))
        self.log_scale = nn.Parameter(torch.zeros(self.classes, self.components, self.latent_dim))
        self.turn = nn.Parameter(torch.zeros(self.classes, self.components, self.latent_dim, self.latent_dim))
        self.register_buffer("log_prior", torch.zeros(self.classes))
        noise = torch.randn(CLASSIFYING_DRAWS // 2, 1, self.latent_dim, generator=torch.Generator().manual_seed(0))
        self.register_buffer("noise", torch.cat([noise, -noise]))

    def fit(self, data, trainer):
        """Trains on the train split; keeps the parameters of the lowest loss on val."""
        self.build(data.spec)
        self.log_prior = log_class_prior(data.y, self.classes)
        objective = Objective(self._loss, self.parameters(), self.learning_rate, weight_decay=self.weight_decay)
        trainer.run(self, data, [objective], steps=self.steps, batch=self.batch, validate=self._loss, bfloat16=True)

    def log_conditional_bound(self, x, y):
        """The bound of log p(x | y) by k draws of the code, a mass over L-level images, nats (N,)."""
        found = []
        for part, labels in zip(x.split(ROWS // self.n_importance_samples + 1), y.split(ROWS // self.n_importance_samples + 1)):
            noise = torch.randn(self.n_importance_samples, len(part), self.latent_dim, device=x.device)
            found.append(
                sum(self._log_terms(part, labels, noise)).logsumexp(0) - math.log(self.n_importance_samples)
            )  # (k, n) -> (n,)
        return torch.cat(found)

    def log_prob_bound(self, x):
        """log p(x) >= E log 1/k sum_i p(x, y_i, z_i) / (q(y_i | x) q(z_i | x, y_i)), nats (N,).

        Labels are drawn, too, from what `predict_proba` says: all k draws go to the few classes that count, not k to each class.
        """
        found = []
        for part in x.split(ROWS // self.n_importance_samples + 1):
            proposal = (1 - ANY_CLASS) * self.predict_proba(part) + ANY_CLASS / self.classes
            labels = torch.multinomial(proposal, self.n_importance_samples, replacement=True).T.flatten()  # (n, k) -> (k n,)
            repeated, index = (
                part.repeat(self.n_importance_samples, 1, 1, 1),
                torch.arange(len(part)).repeat(self.n_importance_samples),
            )
            noise = torch.randn(1, len(labels), self.latent_dim, device=x.device)
            log_ratio = self.log_prior[labels] - proposal[index, labels].log()
            weight = sum(self._log_terms(repeated, labels, noise))[0] + log_ratio
            found.append(
                weight.view(self.n_importance_samples, -1).logsumexp(0) - math.log(self.n_importance_samples)
            )  # (k, n) -> (n,)
        return torch.cat(found)

    def predict_proba(self, x):
        """Bayes' rule over a bound of few draws, the same ones for all classes and images, (N, K)."""
        found = []
        for part in x.split(ROWS // (self.classes * CLASSIFYING_DRAWS) + 1):
            labels = torch.arange(self.classes, device=x.device).repeat_interleave(len(part))  # (K n,)
            weight = sum(self._log_terms(part.repeat(self.classes, 1, 1, 1), labels, self.noise)).logsumexp(0)
            found.append((weight.view(self.classes, -1).T + self.log_prior).softmax(1))  # (K n,) -> (n, K)
        return torch.cat(found)

    def sample(self, n, labels=None):
        """n images of the labels (n,), drawn from the class prior where none are given."""
        labels = self.drawn_labels(n) if labels is None else labels
        component = torch.multinomial(self.share[labels].softmax(1), 1)[:, 0]
        z = self._code(labels, component, torch.randn(n, self.latent_dim, device=labels.device))
        return self.law.sample(self._decoded(z, labels)).view(n, *self.shape)  # (n, D) -> (n, C, H, W)

    def encode(self, x):
        """The posterior mean of z given the most probable class, (N, Z): the style, not the class, which the nets are told."""
        return self._posterior(x, self.predict(x))[0]

    def reconstruct(self, x):
        """The mean image at the posterior mean of z, given the most probable class."""
        return self._reconstructed(x, self.predict(x))

    def inpaint(self, x, mask):
        """Unknown pixels (mask 0) as the class of the highest bound would have them, by turns of reconstruction."""
        known = mask.bool()
        candidates = []
        for k in torch.arange(self.classes, device=x.device):
            filled = torch.where(known, x, 0.5)
            for _ in range(INPAINTING_ROUNDS):
                filled = torch.where(known, x, self._reconstructed(filled, k.expand(len(x))))
            candidates.append(filled)
        labels = torch.arange(self.classes, device=x.device).repeat_interleave(len(x))
        bound = sum(self._log_terms(torch.cat(candidates), labels, self.noise)).logsumexp(0)  # (K N,)
        best = (bound.view(self.classes, -1) + self.log_prior[:, None]).argmax(0)  # (N,)
        return torch.stack(candidates)[best, torch.arange(len(x), device=x.device)]

    def picture(self, x, y):
        """The same noise for every class."""
        labels = torch.arange(self.classes, device=x.device)
        main = self.share.argmax(1)  # (K,)
        noise = torch.randn(PICTURED, self.latent_dim, device=x.device).repeat_interleave(self.classes, 0)  # (rows K, Z)
        labels, main = labels.repeat(PICTURED), main.repeat(PICTURED)
        images = self.law.mean(self._decoded(self._code(labels, main, noise), labels)).view(-1, *self.shape)
        caption = "One class a column, one draw of the noise a row: what the code says besides the class. Means, not samples."
        return Visualization(images.detach(), self.classes, caption)

    def _loss(self, x, y):
        log_mass, log_ratio = self._log_terms(x, y, torch.randn(1, len(x), self.latent_dim, device=x.device))
        distortion, rate = -log_mass.mean(), -log_ratio.mean()
        return {"loss": distortion + self.beta * rate, "distortion": distortion, "rate": rate}

    def _log_terms(self, x, y, noise):
        """log p(x | z, y) and log p(z | y) - log q(z | x, y) for codes of the noise (k, N or 1, Z), two of (k, N) nats."""
        mean, log_variance = self._posterior(x, y)
        z = mean + (log_variance / 2).exp() * noise  # (k, N, Z)
        draws, labels = len(z), y.repeat(len(z))
        # The normalisers 2 pi of prior and posterior cancel.
        log_posterior = -0.5 * (noise**2 + log_variance).sum(2)
        log_scale = self.log_scale[y]  # (N, M, Z)
        away = (z[:, :, None] - self.mean[y]) * (-log_scale).exp()  # (k, N, M, Z)
        away = away + torch.einsum("nmij,knmj->knmi", self.turn.tril(-1)[y], away)  # (I + T) (z - m) / s
        log_prior = (self.share.log_softmax(1)[y] - log_scale.sum(2) - 0.5 * (away**2).sum(3)).logsumexp(2)
        log_mass = self.law.log_mass(x.repeat(draws, 1, 1, 1), self._decoded(z.flatten(0, 1), labels)).view(draws, -1)
        return log_mass, log_prior - log_posterior

    def _code(self, y, component, noise):
        """The code that p(z | y) has at the noise (n, Z), of labels and components (n,)."""
        factor = self.turn[y, component].tril(-1) + torch.eye(self.latent_dim, device=noise.device)
        away = torch.linalg.solve_triangular(factor, noise[..., None], upper=False)[..., 0]  # (n, Z)
        return self.mean[y, component] + self.log_scale[y, component].exp() * away

    def _posterior(self, x, y):
        told = torch.cat([2 * x.flatten(1) - 1, F.one_hot(y, self.classes)], 1)
        mean, log_variance = self.encoder(told).float().chunk(2, dim=1)  # (N, 2 Z) -> 2 of (N, Z)
        return mean, log_variance.clamp(-12, 12)

    def _decoded(self, z, y):
        return self.decoder(torch.cat([z, F.one_hot(y, self.classes)], 1))

    def _reconstructed(self, x, y):
        return self.law.mean(self._decoded(self._posterior(x, y)[0], y)).view(x.shape)  # (N, D) -> (N, C, H, W)
