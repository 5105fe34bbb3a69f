"""Principal component analysis: the plane of Z dimensions that keeps most of the variance, the linear baseline of every code.

    z = S^-1 U^T (x - mu),      x^ = mu + U S z,      minimises  sum_n |x_n - x^_n|^2  over all linear maps of rank Z

U has the first Z right singular vectors of the centred data, S the standard deviations along them. Codes are divided by S, so
that each has mean 0 and variance 1 on the train split and normal noise can be decoded: it gives the images of one Gaussian,
p(x) = N(mu, U S^2 U^T), which lies in the plane; `probabilistic_pca` is the one with a density.

References: K. Pearson, Philosophical Magazine 1901; H. Hotelling, Journal of Educational Psychology 1933; by singular values:
C. Eckart, G. Young, Psychometrika 1936.
"""

import math

import torch
from torch import nn

from pofxy.base.visualization import Visualization

# Share of the largest standard deviation below which a direction counts as one in which the data do not vary.
NO_VARIANCE = 1e-5
PICTURED = 40


class PCA(nn.Module):
    """Closed form; works on tables as it does on images.

    Args:
        latent_dim: Z, the dimensions of the code; at most D.
    """

    def __init__(self, latent_dim: int = 16):
        super().__init__()
        self.latent_dim = latent_dim

    def build(self, spec):
        """Buffers for mu, U and S."""
        self.shape, dimensions = spec.shape, math.prod(spec.shape)
        codes = min(self.latent_dim, dimensions)
        self.register_buffer("centre", torch.zeros(dimensions))
        self.register_buffer("components", torch.zeros(codes, dimensions))  # the rows are the columns of U
        self.register_buffer("scale", torch.zeros(codes))

    def fit(self, data, trainer):
        """Closed form."""
        self.build(data.spec)
        rows = data.x.flatten(1).double()
        centre = rows.mean(0)
        _, singular, components = torch.linalg.svd(rows - centre, full_matrices=False)  # (min(N, D),), (min(N, D), D)
        singular = torch.where(singular > NO_VARIANCE * singular[0], singular, 0)
        found = min(len(self.scale), len(singular))  # fewer images than codes: the rest stays 0
        # A singular vector's sign is arbitrary: the largest entry is positive, whoever computes it.
        largest = components.gather(1, components.abs().argmax(1, keepdim=True))
        self.centre = centre.float()
        self.components[:found] = (components * largest.sign())[:found].float()
        self.scale[:found] = (singular / math.sqrt(len(rows)))[:found].float()

    def encode(self, x):
        """S^-1 U^T (x - mu), (N, Z); 0 where the data do not vary."""
        along = (x.flatten(1) - self.centre) @ self.components.T
        return torch.where(self.scale > 0, along / self.scale.clamp(min=torch.finfo(x.dtype).tiny), 0)

    def decode(self, z):
        """mu + U S z, clamped to [0, 1], (N, C, H, W) or (N, D), of codes (N, Z)."""
        rows = self.centre + (z * self.scale) @ self.components
        return rows.clamp(0, 1).view(len(z), *self.shape)  # (N, D) -> (N, C, H, W)

    def reconstruct(self, x):
        """The nearest point of the plane, clamped to [0, 1]."""
        return self.decode(self.encode(x))

    def picture(self, x, y):
        """The components."""
        images = self.components[:PICTURED].reshape(-1, *self.shape)  # (Z, D) -> (Z, C, H, W)
        caption = "The principal components, the largest first: each number of the code adds so much of one to the mean image."
        return Visualization(images, min(8, len(images)), caption, signed=True)
