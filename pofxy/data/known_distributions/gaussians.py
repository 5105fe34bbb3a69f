"""Gaussians in the plane: three classes, each a mixture of two Gaussians that lie across one another.

    p(x, y) = p(y) sum_j w_yj N(x; mu_yj, S_yj),      x in [0, 1]^2

No straight line parts the classes, and they overlap: even Bayes' rule is wrong on about one row in ten. The border is so far
away that less than 1e-9 of the mass lies beyond it; a draw from there is drawn again.
"""

import numpy as np
import torch
from torch import Tensor

PRIOR = (0.4, 0.35, 0.25)
WEIGHTS = ((0.6, 0.4), (0.5, 0.5), (0.6, 0.4))  # of the two Gaussians of each class
MEANS = (((0.37, 0.40), (0.62, 0.60)), ((0.42, 0.61), (0.59, 0.40)), ((0.50, 0.50), (0.38, 0.50)))
# The standard deviations along the axes of each ellipse, and the angle of its first axis in degrees.
AXES = (((0.055, 0.03), (0.055, 0.03)), ((0.055, 0.03), (0.055, 0.03)), ((0.05, 0.03), (0.05, 0.03)))
ANGLES = ((35, 45), (-30, -40), (0, 90))
# Points a side of the quadrature, and how many of them at once: twice as many a side change no figure by 1e-7.
GRID, BLOCK = 1000, 100_000


class Gaussians:
    """A density over tables of two columns."""

    likelihood = "density"

    def __init__(self):
        angle = np.deg2rad(ANGLES)  # (K, 2)
        turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], -1).reshape(3, 2, 2, 2)
        self.root = turn * np.array(AXES)[..., None, :]  # (K, 2, D, D): S = root root'
        self.mean = np.array(MEANS)  # (K, 2, D)
        covariance = self.root @ self.root.swapaxes(-1, -2)
        self._normal = torch.distributions.MultivariateNormal(torch.from_numpy(self.mean), torch.from_numpy(covariance))
        self._log_weight = torch.from_numpy(np.array(PRIOR)[:, None] * np.array(WEIGHTS)).log()  # (K, 2)

    def draw(self, n: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """x (n, 2) float32 and y (n,) int64."""
        y = generator.choice(len(PRIOR), n, p=PRIOR)
        x = self._points(y, generator)
        while (outside := ((x < 0) | (x > 1)).any(1)).any():
            x[outside] = self._points(y[outside], generator)
        return x.astype(np.float32), y

    def log_joint(self, x: Tensor) -> Tensor:
        """log p(x, y) in nats, (N, K) float64, of x (N, 2)."""
        each = self._normal.log_prob(x.double().cpu()[:, None, None])  # (N, K, 2)
        return (each + self._log_weight).logsumexp(2)

    def truth(self) -> dict[str, float]:
        """The differential entropy of x and the figures of Bayes' rule, by the midpoint rule on a square grid."""
        middle = (torch.arange(GRID, dtype=torch.float64) + 0.5) / GRID
        entropy = accuracy = log_loss = 0.0
        for points in torch.cartesian_prod(middle, middle).split(BLOCK):
            joint = self.log_joint(points)  # (BLOCK, K)
            entropy -= float((joint.logsumexp(1).exp() * joint.logsumexp(1)).sum()) / GRID**2
            accuracy += float(joint.exp().amax(1).sum()) / GRID**2
            log_loss -= float((joint.exp() * joint.log_softmax(1)).sum()) / GRID**2
        return {"entropy": entropy, "bayes_accuracy": accuracy, "bayes_log_loss": log_loss}

    def _points(self, y: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        j = (generator.random(len(y)) > np.array(WEIGHTS)[y, 0]).astype(int)  # which Gaussian of the class
        standard = generator.standard_normal((len(y), 2, 1))
        return self.mean[y, j] + (self.root[y, j] @ standard)[..., 0]  # (n, D, D) (n, D, 1) -> (n, D)
