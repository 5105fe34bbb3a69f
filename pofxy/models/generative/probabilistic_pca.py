"""Probabilistic principal component analysis (PCA): a few Gaussian latents, a linear map to the pixels, and noise.

    x = mu + W z + e,      e ~ N(0, s^2 I),      z ~ N(0, I),      so p(x) = N(mu, W W^T + s^2 I)

Maximum likelihood has a closed form: W = U (L - s^2 I)^(1/2), with the first Z eigenvectors U and eigenvalues L of the covariance
of x, and s^2 is the mean of the other eigenvalues (eq. 7 and 8). Labels are known here, so the latents have a Gaussian for each
class, p(z | y) = N(m_y, S_y), in place of N(0, I). It is fitted to the class in the same subspace:

    p(x | y) = N(mu + W m_y, W S_y W^T + s^2 I),      p(x) = sum_y p(y) p(x | y)

exactly, with one latent space for all classes. The covariance of a class is shrunk towards the covariance within all classes. The
share is chosen on val: among the candidates within two standard errors of the best validation accuracy, the one with the highest
validation log-likelihood. The likelihood would rise with the number of latents up to D - 1. The default is the number from which
more latents did not raise the accuracy on the val split of digits.

Reference: M. E. Tipping, C. M. Bishop, "Probabilistic principal component analysis", Journal of the Royal Statistical Society B
61(3), 1999. https://doi.org/10.1111/1467-9868.00196
"""

import math

import torch
from torch import Tensor

from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.tags import Tags
from pofxy.base.visualization import Visualization
from pofxy.nets.gaussian import GaussianClasses, Moments, add_variance, as_float64, select_on_validation

# Candidates, the most regularized one first.
POOLINGS = (1.0, 0.5, 0.3, 0.2, 0.1, 0.05, 0.01)
# Components in the visualization, at most.
MAX_PICTURED = 40


class ProbabilisticPCA(GaussianClasses):
    """A density over the dequantized pixels; works on tables as well as on images.

    Args:
        latent_dim: Z, the number of latents; at most D - 1.
        pooling: weight of the latents' covariance within all classes against that of the class, 0 to 1; None chooses it on val.
    """

    tags = Tags(conditional=True, likelihood="density")

    center: Tensor
    weight: Tensor
    noise: Tensor
    latent_mean: Tensor
    latent_covariance: Tensor

    def __init__(self, latent_dim: int = 24, pooling: float | None = None):
        super().__init__()
        self.latent_dim = latent_dim
        self.pooling = pooling

    def build(self, spec: DataSpec) -> None:
        """Makes buffers for mu, W, s^2 and the Gaussians over latents, besides those for the Gaussians over pixels."""
        super().build(spec)
        dimensions = math.prod(spec.shape)
        latent_dim = min(self.latent_dim, dimensions - 1)
        self.register_buffer("center", torch.zeros(dimensions))  # mu
        self.register_buffer("weight", torch.zeros(dimensions, latent_dim))  # W
        self.register_buffer("noise", torch.ones(()))  # s^2
        self.register_buffer("latent_mean", torch.zeros(spec.classes, latent_dim))
        self.register_buffer("latent_covariance", torch.zeros(spec.classes, latent_dim, latent_dim))

    def fit(self, data: TrainingData, trainer: object) -> None:
        """Closed form; the trainer is not used."""
        self.build(data.spec)
        latent_dim = self.weight.shape[1]
        pooling = self.pooling
        if pooling is None:
            pooling = select_on_validation(data, POOLINGS, lambda part, poolings: _fits(part, poolings, latent_dim))
        moments = Moments(data)
        subspace = principal_subspace(moments, latent_dim)
        latents = latent_gaussians(moments, *subspace, pooling)
        self.set_components(moments.log_prior, *pixel_gaussians(*subspace, *latents))
        self.center, self.weight, self.noise = (part.float().contiguous() for part in subspace)
        self.latent_mean, self.latent_covariance = (part.float().contiguous() for part in latents)

    def count_parameters(self) -> int:
        """mu, W, s^2, the prior and the latents' Gaussians, from which the Gaussians over pixels follow."""
        classes, latent_dim = self.latent_mean.shape
        of_latents = classes * (latent_dim + latent_dim * (latent_dim + 1) // 2)
        return self.center.numel() + self.weight.numel() + 1 + self.log_prior.numel() + of_latents

    def encode(self, x: Tensor) -> Tensor:
        """The posterior mean E[z | x] = sum_y p(y | x) E[z | x, y], (N, Z)."""
        return self._posterior_mean(x).to(x.dtype)

    def reconstruct(self, x: Tensor) -> Tensor:
        """mu + W E[z | x], the mean of the image without its noise, clamped to [0, 1]."""
        image = as_float64(self.center) + self._posterior_mean(x) @ as_float64(self.weight).T
        return image.clamp(0, 1).to(x.dtype).view(x.shape)  # (N, D) -> (N, C, H, W)

    def picture(self, x: Tensor, y: Tensor) -> Visualization:
        """The columns of W."""
        images = self.weight.T[:MAX_PICTURED].reshape(-1, *self.shape)  # (Z, D) -> (Z, C, H, W)
        caption = (
            "The principal components, the largest first: a latent adds the red pixels to the mean and subtracts the blue ones."
        )
        return Visualization(images, min(8, len(images)), caption, signed=True)

    def _posterior_mean(self, x):
        center = as_float64(self.center)
        weight = as_float64(self.weight)
        mean = as_float64(self.latent_mean)
        covariance = as_float64(self.latent_covariance)
        # S W^T (W S W^T + s^2 I)^-1 = (S W^T W + s^2 I)^-1 S W^T: only Z x Z systems, and S may be singular.
        gain = torch.linalg.solve(add_variance(covariance @ weight.T @ weight, as_float64(self.noise)), covariance)  # (K, Z, Z)
        projected = (as_float64(x.flatten(1)) - center) @ weight  # W^T (x - mu), (N, Z)
        residual = projected - (mean @ weight.T @ weight)[:, None]  # W^T (x - mu - W m_y), (K, N, Z)
        latents = mean[:, None] + residual @ gain.mT  # E[z | x, y], (K, N, Z)
        return torch.einsum("nk,knz->nz", self.predict_proba(x).to(latents.dtype), latents)


def _fits(data, poolings, latent_dim):
    """log p(y) (K,), means (K, D) and covariances (K, D, D) for each pooling."""
    moments = Moments(data)
    subspace = principal_subspace(moments, latent_dim)
    for pooling in poolings:
        yield moments.log_prior, *pixel_gaussians(*subspace, *latent_gaussians(moments, *subspace, pooling))


def principal_subspace(moments: Moments, latent_dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """mu (D,), W (D, Z) and s^2, by eq. 7 and 8 with R = I, of the dequantized pixels."""
    total = add_variance(moments.total, moments.added_variance)[0]
    values, vectors = torch.linalg.eigh(total)  # ascending
    noise = values[:-latent_dim].mean()
    values = values[-latent_dim:].flip(0)
    vectors = vectors[:, -latent_dim:].flip(1)
    # A lower limit: without variance above the noise a column of W would vanish, and its latent could not be inferred.
    return moments.x.mean(0), vectors * (values - noise).clamp(min=1e-6 * float(values[0])).sqrt(), noise


def latent_gaussians(moments: Moments, center: Tensor, weight: Tensor, noise: Tensor, pooling: float) -> tuple[Tensor, Tensor]:
    """m_y (K, Z) and S_y (K, Z, Z): maximum likelihood for the images of the class, given mu, W and s^2.

    In the coordinates U^T (x - mu), where U has the columns of W at unit length, the class has the covariance A. The maximum
    likelihood covariance there has the eigenvalues of A where they exceed s^2, and s^2 elsewhere (as in the appendix of the
    paper). Its part above s^2 is that of the latents.
    """
    length = (weight**2).sum(0).sqrt()  # (Z,): the columns of W are orthogonal
    unit = weight / length
    pooled = (1 - pooling) * moments.covariance + pooling * moments.within
    above_noise = add_variance(unit.T @ pooled @ unit, moments.added_variance - noise)  # A - s^2 I
    values, vectors = torch.linalg.eigh(above_noise)  # (K, Z), (K, Z, Z)
    vectors = vectors / length[:, None]  # from these coordinates to latents
    return (moments.mean - center) @ unit / length, vectors * values.clamp(min=0)[:, None] @ vectors.mT


def pixel_gaussians(
    center: Tensor, weight: Tensor, noise: Tensor, latent_mean: Tensor, latent_covariance: Tensor
) -> tuple[Tensor, Tensor]:
    """The means (K, D) and covariances (K, D, D) of p(x | y)."""
    return center + latent_mean @ weight.T, add_variance(weight @ latent_covariance @ weight.T, noise)
