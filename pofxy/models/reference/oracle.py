"""Oracle: the distribution that the data were sampled from.

No model can beat it: where a measure ranks a model higher, the difference is an error of the measure.

    p(x, y) as known_distributions/ defines it;      p(y | x) by Bayes' rule

It exists only for data sets whose distribution is known, so for no real data set.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

# Both are opened by name. They are imported here so that the oracle is made again when one of them changes.
import pofxy.data.known_distributions.gaussians
import pofxy.data.known_distributions.known_images  # noqa: F401
from pofxy.base.bayes import BayesRuleMixin
from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.tags import Tags
from pofxy.data.known_distributions import open_distribution


class Oracle(BayesRuleMixin, nn.Module):
    """The exact p(x, y): a mass or a density, as the known distribution states."""

    tags = Tags(needs_known_distribution=True)

    def build(self, spec: DataSpec) -> None:
        """Opens the distribution of the data. Raises ValueError where it is not known."""
        if spec.distribution is None:
            raise ValueError(f"{spec.name}: the oracle needs the true distribution of the data, which is not known")
        self.distribution = open_distribution(spec.distribution)
        self.tags = replace(self.tags, likelihood=self.distribution.likelihood)

    def fit(self, data: TrainingData, trainer: object) -> None:
        """There is nothing to fit; `trainer` is not used."""
        self.build(data.spec)

    def log_joint(self, x: Tensor) -> Tensor:
        """log p(x, y) in nats, (N, K) float64."""
        return self.distribution.log_joint(x)

    def sample(self, n: int, labels: Tensor | None = None) -> Tensor:
        """n samples of p(x), (n, C, H, W) or (n, D); labels are not used."""
        # The distribution samples by NumPy, and the caller has seeded torch's generator: it gives the seed.
        seed = int(torch.randint(2**63 - 1, ()))
        return torch.from_numpy(self.distribution.sample(n, np.random.default_rng(seed))[0])
