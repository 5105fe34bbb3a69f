"""Gaussians in the plane: three classes, each a mixture of two Gaussians whose long axes cross.

    p(x, y) = p(y) sum_j w_yj N(x; mu_yj, S_yj),      x in [0, 1]^2

No straight line separates the classes, and they overlap: even Bayes' rule misclassifies about one row in ten. Less than 1e-9 of
the probability lies outside [0, 1]^2; a sample from there is replaced by a new one.
"""

import numpy as np
import torch
from torch import Tensor

PRIOR = (0.4, 0.35, 0.25)  # p(y)
WEIGHTS = ((0.6, 0.4), (0.5, 0.5), (0.6, 0.4))  # of the two Gaussians of each class
MEANS = (((0.37, 0.40), (0.62, 0.60)), ((0.42, 0.61), (0.59, 0.40)), ((0.50, 0.50), (0.38, 0.50)))
# Standard deviations along the two axes of each ellipse, and the angle of its first axis in degrees.
AXES = (((0.055, 0.03), (0.055, 0.03)), ((0.055, 0.03), (0.055, 0.03)), ((0.05, 0.03), (0.05, 0.03)))
ANGLES = ((35, 45), (-30, -40), (0, 90))
# Points per side of the quadrature. Twice as many change no value of `ground_truth` by 1e-7.
GRID = 1000
# Points of the quadrature that are evaluated at once.
BLOCK = 100_000


class Gaussians:
    """A probability density over tables of two columns.

    Attributes:
        mean: (K, 2, D).
        root: (K, 2, D, D); the covariance is root root'.
    """

    likelihood = "density"

    def __init__(self):
        angle = np.deg2rad(ANGLES)  # (K, 2)
        rotation = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], -1).reshape(3, 2, 2, 2)
        self.root = rotation * np.array(AXES)[..., None, :]
        self.mean = np.array(MEANS)
        covariance = self.root @ self.root.swapaxes(-1, -2)
        self._normal = torch.distributions.MultivariateNormal(torch.from_numpy(self.mean), torch.from_numpy(covariance))
        self._log_weight = torch.from_numpy(np.array(PRIOR)[:, None] * np.array(WEIGHTS)).log()  # (K, 2)

    def sample(self, n: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """n independent samples: x (n, 2) float32 in [0, 1] and y (n,) int64."""
        y = generator.choice(len(PRIOR), n, p=PRIOR)
        x = self._sample_given_class(y, generator)
        while (outside := ((x < 0) | (x > 1)).any(1)).any():
            x[outside] = self._sample_given_class(y[outside], generator)
        return x.astype(np.float32), y

    def log_joint(self, x: Tensor) -> Tensor:
        """log p(x, y) in nats, (N, K) float64, of x (N, 2)."""
        log_density = self._normal.log_prob(x.double().cpu()[:, None, None])  # (N, K, 2)
        return (log_density + self._log_weight).logsumexp(2)

    def ground_truth(self) -> dict[str, float]:
        """Differential entropy of x, accuracy and log loss of Bayes' rule, in nats, by the midpoint rule on a square grid."""
        midpoints = (torch.arange(GRID, dtype=torch.float64) + 0.5) / GRID
        entropy = 0.0
        accuracy = 0.0
        log_loss = 0.0
        for points in torch.cartesian_prod(midpoints, midpoints).split(BLOCK):
            joint = self.log_joint(points)  # (BLOCK, K)
            entropy -= float((joint.logsumexp(1).exp() * joint.logsumexp(1)).sum()) / GRID**2
            accuracy += float(joint.exp().amax(1).sum()) / GRID**2
            log_loss -= float((joint.exp() * joint.log_softmax(1)).sum()) / GRID**2
        return {"entropy": entropy, "bayes_accuracy": accuracy, "bayes_log_loss": log_loss}

    def _sample_given_class(self, y: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """One sample of p(x | y) for each label, (n, D); it may lie outside [0, 1]^2."""
        component = (generator.random(len(y)) > np.array(WEIGHTS)[y, 0]).astype(int)
        standard = generator.standard_normal((len(y), 2, 1))
        return self.mean[y, component] + (self.root[y, component] @ standard)[..., 0]  # (n, D, D) (n, D, 1) -> (n, D)
