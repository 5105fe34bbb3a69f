"""Principal component analysis (PCA): the linear map to Z latents that keeps most of the variance.

    z = S^-1 U^T (x - mu),      x^ = mu + U S z,      minimizes  sum_n |x_n - x^_n|^2  over all linear maps of rank Z

U has the first Z right singular vectors of the centered data, S the standard deviations along them. Latents are divided by S, so
that each has mean 0 and variance 1 on the train split, and standard normal noise can be decoded. Decoded noise is a sample of the
Gaussian p(x) = N(mu, U S^2 U^T), which lies in a subspace and has no density; `probabilistic_pca` has one. PCA is the linear
baseline of every latent representation.

References:
    K. Pearson, "On lines and planes of closest fit to systems of points in space", Philosophical Magazine 2(11), 1901.
    https://doi.org/10.1080/14786440109462720
    H. Hotelling, "Analysis of a complex of statistical variables into principal components", Journal of Educational Psychology
    24(6), 1933. https://doi.org/10.1037/h0071325
    By singular values: C. Eckart, G. Young, "The approximation of one matrix by another of lower rank", Psychometrika 1(3), 1936.
    https://doi.org/10.1007/BF02288367
"""

import math

import torch
from torch import Tensor, nn

from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.visualization import Visualization
from pofxy.training.trainer import Trainer

# Share of the largest standard deviation below which a direction counts as one without variance.
NO_VARIANCE = 1e-5
# Components in the picture.
PICTURED = 40


class PCA(nn.Module):
    """Closed form; for images and tables.

    Args:
        latent_dim: Z, dimension of the latent space; at most D.
    """

    center: Tensor
    components: Tensor
    scale: Tensor

    def __init__(self, latent_dim: int = 16):
        super().__init__()
        self.latent_dim = latent_dim

    def build(self, spec: DataSpec) -> None:
        """Buffers for mu, U and S."""
        self.shape = spec.shape
        dimensions = math.prod(spec.shape)
        latent_dim = min(self.latent_dim, dimensions)
        self.register_buffer("center", torch.zeros(dimensions))
        self.register_buffer("components", torch.zeros(latent_dim, dimensions))  # the rows are the columns of U
        self.register_buffer("scale", torch.zeros(latent_dim))

    def fit(self, data: TrainingData, trainer: Trainer) -> None:
        """Singular value decomposition of the train split."""
        self.build(data.spec)
        rows = data.x.flatten(1).double()
        center = rows.mean(0)
        _, singular, components = torch.linalg.svd(rows - center, full_matrices=False)  # (min(N, D),), (min(N, D), D)
        singular = torch.where(singular > NO_VARIANCE * singular[0], singular, 0)
        count = min(len(self.scale), len(singular))  # with fewer images than latents, the rest stays 0
        # The sign of a singular vector is arbitrary. Here the largest entry is positive, with every linear algebra library.
        largest = components.gather(1, components.abs().argmax(1, keepdim=True))
        self.center = center.float()
        self.components[:count] = (components * largest.sign())[:count].float()
        self.scale[:count] = (singular / math.sqrt(len(rows)))[:count].float()

    def encode(self, x: Tensor) -> Tensor:
        """S^-1 U^T (x - mu), (N, Z); 0 along directions without variance."""
        projected = (x.flatten(1) - self.center) @ self.components.T
        return torch.where(self.scale > 0, projected / self.scale.clamp(min=torch.finfo(x.dtype).tiny), 0)

    def decode(self, z: Tensor) -> Tensor:
        """mu + U S z, clamped to [0, 1], (N, C, H, W) or (N, D), of latents (N, Z)."""
        rows = self.center + (z * self.scale) @ self.components
        return rows.clamp(0, 1).view(len(z), *self.shape)  # (N, D) -> (N, C, H, W)

    def reconstruct(self, x: Tensor) -> Tensor:
        """The nearest point of the subspace, clamped to [0, 1]."""
        return self.decode(self.encode(x))

    def picture(self, x: Tensor, y: Tensor) -> Visualization:
        """The components."""
        images = self.components[:PICTURED].reshape(-1, *self.shape)  # (Z, D) -> (Z, C, H, W)
        caption = (
            "The principal components, largest variance first. Each latent adds a multiple of one component to the mean image."
        )
        return Visualization(images, min(8, len(images)), caption, signed=True)
