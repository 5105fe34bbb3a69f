"""VAE: a variational autoencoder, a latent-variable model with a standard normal prior.

    log p(x) >= E_q(z|x) [log p(x | z)] - beta KL(q(z | x) || p(z)),      p(z) = N(0, I)      (the ELBO at beta = 1, eq. 3)
    log p(x) >= E log 1/k sum_i p(x | z_i) p(z_i) / q(z_i | x),           z_1 .. z_k ~ q(z | x)      (IWAE, tighter)

Encoder and decoder are trained jointly by maximizing the evidence lower bound (ELBO). q(z | x) is a Gaussian with a diagonal
covariance; the encoder gives its mean and variance. p(x | z) has independent pixels, each with a discretized logistic mixture:
the bound is one on the probability mass of the L-level image, comparable in bits per dimension. With k > 1 importance samples
the bound of the importance weighted autoencoder (IWAE) is maximized; there beta is the exponent of p(z) / q(z | x), and at
k = 1 both bounds are the same.

References:
    D. P. Kingma, M. Welling, "Auto-encoding variational Bayes", ICLR 2014. https://arxiv.org/abs/1312.6114
    beta: I. Higgins et al., "beta-VAE", ICLR 2017. https://openreview.net/forum?id=Sy2fzU9gl
    IWAE: Y. Burda, R. Grosse, R. Salakhutdinov, "Importance weighted autoencoders", ICLR 2016, eq. 8.
    https://arxiv.org/abs/1509.00519
    The distribution of the pixels: `nets/discretized_logistic_mixture.py`.
"""

import math

import torch
from torch import Tensor, nn

from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.hyperparameters import Optimization
from pofxy.base.tags import Tags
from pofxy.nets.discretized_logistic_mixture import DiscretizedLogisticMixture
from pofxy.nets.dropout import Dropout
from pofxy.training.trainer import Trainer

# After about ten rounds the result changes little.
INPAINTING_ROUNDS = 30


class VAE(nn.Module):
    """Encoder and decoder are fully connected nets, as in the paper.

    Args:
        latent_dim: Z, dimension of the latent space.
        hidden: units of a hidden layer: the encoder has one, the decoder two.
        dropout: share of hidden units that are dropped in training, in one layer of each net, against overfitting to small data.
        beta: weight of the KL term in training.
        n_importance_samples: k, latents per image in training.
        optimization: steps, batch, learning rate and weight decay; the schedule is a cosine.
    """

    tags = Tags(images_only=True, trained_in_steps=True, inpainting_passes=30)

    def __init__(
        self,
        latent_dim: int = 16,
        hidden: int = 512,
        dropout: float = 0.2,
        beta: float = 1.0,
        n_importance_samples: int = 1,
        optimization: Optimization = Optimization(steps=2000, batch=128, learning_rate=2e-3, weight_decay=0.1),
    ):
        super().__init__()
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.dropout = dropout
        self.beta = beta
        self.n_importance_samples = n_importance_samples
        self.optimization = optimization

    def build(self, spec: DataSpec) -> None:
        """Layers for images of L levels. Raises ValueError for tables."""
        if spec.levels is None:
            raise ValueError(f"{spec.name}: the VAE models gray levels, and a table has none")
        self.shape = spec.shape
        dimensions = math.prod(spec.shape)
        self.pixel_distribution = DiscretizedLogisticMixture(spec.levels)
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
            nn.Linear(self.hidden, self.pixel_distribution.size * dimensions),
        )

    def fit(self, data: TrainingData, trainer: Trainer) -> None:
        """Trains on the train split; keeps the parameters of the highest bound on the val split."""
        self.build(data.spec)
        trainer.minimize(self, data, self._loss, self.optimization, validate=self._loss, bfloat16=True)

    def log_weight(self, x: Tensor) -> Tensor:
        """log p(x, z) - log q(z | x) in nats, (N,), for one z ~ q(z | x) per image: p(x) is a mass over L-level images."""
        log_mass, log_ratio, _ = self._elbo_terms(x)
        return log_mass + log_ratio

    def sample(self, n: int, labels: Tensor | None = None) -> Tensor:
        """n images sampled from p(x | z), z from the prior; labels are ignored."""
        z = torch.randn(n, self.latent_dim, device=next(self.parameters()).device)
        return self.pixel_distribution.sample(self.decoder(z)).view(n, *self.shape)  # (n, D) -> (n, C, H, W)

    def encode(self, x: Tensor) -> Tensor:
        """The posterior mean of z, (N, Z)."""
        return self._posterior(x)[0]

    def decode(self, z: Tensor) -> Tensor:
        """The mean image of p(x | z), (N, C, H, W), of latents (N, Z)."""
        return self.pixel_distribution.mean(self.decoder(z)).view(len(z), *self.shape)  # (N, D) -> (N, C, H, W)

    def reconstruct(self, x: Tensor) -> Tensor:
        """The mean image of p(x | z) at the posterior mean of z."""
        return self.decode(self.encode(x))

    def inpaint(self, x: Tensor, mask: Tensor) -> Tensor:
        """Fills in unknown pixels (mask 0): they start at mid-gray; reconstructions replace them, repeatedly.

        This is the Markov chain of D. J. Rezende, S. Mohamed, D. Wierstra, "Stochastic backpropagation and approximate
        inference in deep generative models", ICML 2014, appendix F, with means in place of samples.
        https://arxiv.org/abs/1401.4082
        """
        known = mask.bool()
        filled = torch.where(known, x, 0.5)
        for _ in range(INPAINTING_ROUNDS):
            filled = torch.where(known, x, self.reconstruct(filled))
        return filled

    def _loss(self, x, y):
        k = self.n_importance_samples
        log_mass, log_ratio, rate = (part.view(k, -1) for part in self._elbo_terms(x.repeat(k, 1, 1, 1)))  # (k N,) -> (k, N)
        distortion = -log_mass.mean()
        if k == 1:
            # The expectation of the ratio over q is known in closed form: the KL term, appendix B of the paper.
            bound = log_mass - self.beta * rate
        else:
            bound = (log_mass + self.beta * log_ratio).logsumexp(0) - math.log(k)  # (k, N) -> (N,)
        return {"loss": -bound.mean(), "distortion": distortion, "rate": rate.mean()}

    def _elbo_terms(self, x):
        """For one z ~ q(z | x): log p(x | z), log p(z) - log q(z | x), and KL(q(z | x) || p(z)), (N,) nats each."""
        mean, log_variance = self._posterior(x)  # (N, Z) each
        noise = torch.randn_like(mean)
        z = mean + (log_variance / 2).exp() * noise
        # The normalizers 2 pi of prior and posterior cancel.
        log_ratio = 0.5 * (noise**2 + log_variance - z**2).sum(1)
        rate = 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum(1)
        return self.pixel_distribution.log_mass(x, self.decoder(z)), log_ratio, rate

    def _posterior(self, x):
        """Mean and log variance of q(z | x), (N, Z) each."""
        mean, log_variance = self.encoder(2 * x.flatten(1) - 1).float().chunk(2, dim=1)  # (N, 2 Z) -> 2 of (N, Z)
        return mean, log_variance.clamp(-12, 12)
