"""Distributions p(x, y) that are known exactly: data sets are sampled from them, and models and metrics are checked against them.

A file of this package holds one public class. It is made with plain arguments and is a `KnownDistribution`.
"""

from typing import TYPE_CHECKING, Protocol

from pofxy.base.public_class import public_class

if TYPE_CHECKING:  # preprocessing imports this package, and needs no torch
    import numpy as np
    from torch import Tensor


class KnownDistribution(Protocol):
    """A distribution p(x, y) in closed form.

    Attributes:
        likelihood: "mass" over images of L gray levels, or "density".
    """

    likelihood: str

    def sample(self, n: int, generator: "np.random.Generator") -> "tuple[np.ndarray, np.ndarray]":
        """n independent samples: x float32 (n, ...) in [0, 1] and y int64 (n,)."""
        ...

    def log_joint(self, x: "Tensor") -> "Tensor":
        """log p(x, y) in nats, (N, K) float64, exact, of x (N, ...)."""
        ...

    def ground_truth(self) -> dict[str, float]:
        """The best possible expected scores, which no model can beat, exact to 1e-6.

        Returns:
            "entropy" of x in nats, "bayes_accuracy", and "bayes_log_loss" in nats: the scores of Bayes' rule.
        """
        ...


def open_distribution(distribution: dict) -> KnownDistribution:
    """A known distribution: an object of the one public class of this package's file `of`.

    Args:
        distribution: "of", the name of the file, and the arguments of the class: the field `distribution` of a DataSpec.
    """
    arguments = {name: value for name, value in distribution.items() if name != "of"}
    return public_class(f"pofxy.data.known_distributions.{distribution['of']}", "log_joint")(**arguments)
