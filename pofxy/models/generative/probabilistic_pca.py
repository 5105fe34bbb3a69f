"""Probabilistic principal component analysis: a few Gaussian codes, a linear map to the pixels, and noise.

    x = mu + W z + e,      e ~ N(0, s^2 I),      z ~ N(0, I),      so p(x) = N(mu, W W^T + s^2 I)

Maximum likelihood has a closed form: W = U (L - s^2 I)^(1/2) with the first Z eigenvectors U and eigenvalues L of the
covariance of x, and s^2 is the mean of the other eigenvalues (eq. 7 and 8). Where labels are known, the code has a
Gaussian for each class, p(z | y) = N(m_y, S_y), in place of N(0, I), fitted to the class in the same plane:

    p(x | y) = N(mu + W m_y, W S_y W^T + s^2 I),      p(x) = sum_y p(y) p(x | y)

exactly, and one code serves all classes. The covariance of a class is drawn a little towards the one within all classes, by a
share chosen on val: of those about as accurate as the best, the likeliest. The likelihood would rise with the codes up to D - 1;
there are so many that more did not help the accuracy on the digits' val split.

Reference: M. E. Tipping, C. M. Bishop, "Probabilistic principal component analysis", JRSS B 1999.
"""

import math

import torch

from pofxy.base.tags import Tags
from pofxy.base.visualization import Visualization
from pofxy.nets.gaussian import GaussianClasses, Moments, choose, precise, widened

POOLINGS = (1.0, 0.5, 0.3, 0.2, 0.1, 0.05, 0.01)
PICTURED = 40


class ProbabilisticPCA(GaussianClasses):
    """A density over the bins of the pixels; works on tables as it does on images.

    Args:
        latent_dim: Z, the dimensions of the code; at most D - 1.
        pooling: weight of the mean law of the codes within all classes against that of the class, 0 to 1; None chooses it on val.
    """

    tags = Tags(conditional=True, likelihood="density")

    def __init__(self, latent_dim: int = 24, pooling: float | None = None):
        super().__init__()
        self.latent_dim, self.pooling = latent_dim, pooling

    def build(self, spec):
        """Besides the Gaussians over pixels: mu, W, s^2, and the Gaussians over codes."""
        super().build(spec)
        dimensions = math.prod(spec.shape)
        codes = min(self.latent_dim, dimensions - 1)
        self.register_buffer("centre", torch.zeros(dimensions))
        self.register_buffer("weight", torch.zeros(dimensions, codes))
        self.register_buffer("noise", torch.ones(()))
        self.register_buffer("code_mean", torch.zeros(spec.classes, codes))
        self.register_buffer("code_covariance", torch.zeros(spec.classes, codes, codes))

    def fit(self, data, trainer):
        """Closed form."""
        self.build(data.spec)
        codes = self.weight.shape[1]
        pooling = choose(data, POOLINGS, lambda *split: _laws(*split, codes)) if self.pooling is None else self.pooling
        moments = Moments(data)
        plane = principal_plane(moments, codes)
        law = codes_of_classes(moments, *plane, pooling)
        self.keep(moments.log_prior, *pixels_of_classes(*plane, *law))
        self.centre, self.weight, self.noise = (part.float().contiguous() for part in plane)
        self.code_mean, self.code_covariance = (part.float().contiguous() for part in law)

    def count_parameters(self):
        """mu, W, s^2, the prior and the codes' Gaussians; the Gaussians over pixels are made of these."""
        classes, codes = self.code_mean.shape
        of_codes = classes * (codes + codes * (codes + 1) // 2)
        return self.centre.numel() + self.weight.numel() + 1 + self.log_prior.numel() + of_codes

    def encode(self, x):
        """E[z | x] = sum_y p(y | x) E[z | x, y], (N, Z), whichever the class."""
        return self._code(x).to(x.dtype)

    def reconstruct(self, x):
        """mu + W E[z | x], the mean of the image without its noise, clamped to [0, 1]."""
        image = precise(self.centre) + self._code(x) @ precise(self.weight).T
        return image.clamp(0, 1).to(x.dtype).view(x.shape)  # (N, D) -> (N, C, H, W)

    def picture(self, x, y):
        """The columns of W."""
        images = self.weight.T[:PICTURED].reshape(-1, *self.shape)  # (Z, D) -> (Z, C, H, W)
        caption = (
            "The principal components, the largest first: what one number of the code adds to the mean image, and takes away."
        )
        return Visualization(images, min(8, len(images)), caption, signed=True)

    def _code(self, x):
        fitted = self.centre, self.weight, self.code_mean, self.code_covariance
        centre, weight, mean, covariance = (precise(part) for part in fitted)
        # S W^T (W S W^T + s^2 I)^-1 = (S W^T W + s^2 I)^-1 S W^T: only Z x Z systems, and S may be singular.
        gain = torch.linalg.solve(widened(covariance @ weight.T @ weight, precise(self.noise)), covariance)  # (K, Z, Z)
        seen = (precise(x.flatten(1)) - centre) @ weight  # W^T (x - mu), (N, Z)
        away = seen - (mean @ weight.T @ weight)[:, None]  # W^T (x - mu - W m_y), (K, N, Z)
        code = mean[:, None] + away @ gain.mT  # E[z | x, y], (K, N, Z)
        return torch.einsum("nk,knz->nz", self.predict_proba(x).to(code.dtype), code)


def _laws(data, poolings, codes):
    """log p(y) (K,), means (K, D) and covariances (K, D, D) for each pooling."""
    moments = Moments(data)
    plane = principal_plane(moments, codes)
    for pooling in poolings:
        yield moments.log_prior, *pixels_of_classes(*plane, *codes_of_classes(moments, *plane, pooling))


def principal_plane(moments, codes):
    """mu (D,), W (D, Z) and s^2, by eq. 7 and 8 with R = I, of the dequantized pixels."""
    total = widened(moments.total, moments.bins)[0]
    values, vectors = torch.linalg.eigh(total)  # ascending
    noise = values[:-codes].mean()
    values, vectors = values[-codes:].flip(0), vectors[:, -codes:].flip(1)
    # Where no variance is left above the noise a component would vanish, and with it what its code says.
    return moments.x.mean(0), vectors * (values - noise).clamp(min=1e-6 * float(values[0])).sqrt(), noise


def codes_of_classes(moments, centre, weight, noise, pooling):
    """m_y (K, Z) and S_y (K, Z, Z): the likeliest for the images of the class, mu, W and s^2 given.

    In the coordinates U^T (x - mu), with the columns of W at unit length in U, the class has the covariance A; the likeliest law
    there has A where it exceeds s^2, and s^2 elsewhere (as in the appendix of the paper). Its part above s^2 is the codes'.
    """
    length = (weight**2).sum(0).sqrt()  # (Z,): the columns of W are orthogonal
    unit = weight / length
    pooled = (1 - pooling) * moments.covariance + pooling * moments.within
    values, vectors = torch.linalg.eigh(widened(unit.T @ pooled @ unit, moments.bins - noise))  # of A - s^2 I, (K, Z), (K, Z, Z)
    vectors = vectors / length[:, None]  # from these coordinates to codes
    return (moments.mean - centre) @ unit / length, vectors * values.clamp(min=0)[:, None] @ vectors.mT


def pixels_of_classes(centre, weight, noise, code_mean, code_covariance):
    """The means (K, D) and covariances (K, D, D) of p(x | y)."""
    return centre + code_mean @ weight.T, widened(weight @ code_covariance @ weight.T, noise)
