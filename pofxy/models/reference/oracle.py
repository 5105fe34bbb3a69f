"""Oracle: the law that the data were drawn from. No model can beat it, so a measure that ranks one higher errs by that much.

    p(x, y) as laws/ states it;      p(y | x) by Bayes' rule

Where the law is not known, as of every real data set, there is no oracle.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import nn

import pofxy.data.known_distributions.gaussians
import pofxy.data.known_distributions.known_images  # noqa: F401 (both are opened by name, and named here so that a change of them re-runs the oracle)
from pofxy.base.bayes import BayesRuleMixin
from pofxy.base.tags import Tags
from pofxy.data.known_distributions import open_distribution


class Oracle(BayesRuleMixin, nn.Module):
    """Knows p(x, y) exactly: a mass or a density, as the law says."""

    tags = Tags(needs_known_distribution=True)

    def build(self, spec):
        """Opens the law of the data. Raises ValueError where it is not known."""
        if spec.distribution is None:
            raise ValueError(f"{spec.name}: an oracle needs the law that the data were drawn from, and it is not known")
        self.distribution = open_distribution(spec.distribution)
        self.tags = replace(self.tags, likelihood=self.distribution.likelihood)

    def fit(self, data, trainer):
        """There is nothing to fit."""
        self.build(data.spec)

    def log_joint(self, x):
        """log p(x, y) in nats, (N, K) float64."""
        return self.distribution.log_joint(x)

    def sample(self, n, labels=None):
        """n draws from p(x), (n, C, H, W) or (n, D). It heeds no labels."""
        seed = int(torch.randint(2**63 - 1, ()))  # the law draws by NumPy; torch's generator is the one that the caller seeded
        return torch.from_numpy(self.distribution.sample(n, np.random.default_rng(seed))[0])
