"""GAN: a generative adversarial network, a generator and a discriminator trained against each other on one loss.

    min over G, max over D of  E_x log D(x) + E_z log(1 - D(G(z))),        D(x) = p(x) / (p(x) + p_G(x)) at the optimal D

Where D is confident, log(1 - D(G(z))) is flat; as the paper advises, G maximizes log D(G(z)) instead. The nets are fully
connected: ReLUs and a sigmoid in the generator, maxout and dropout in the discriminator. Three things are newer than the paper:
Adam, samples from an exponential moving average (EMA) of the generator's parameters, and the R1 penalty. Without the penalty (0)
the generator often collapses to a few modes on small data sets.

References:
    I. Goodfellow et al., "Generative adversarial nets", NIPS 2014, equation 1 and algorithm 1. https://arxiv.org/abs/1406.2661
    Maxout: I. Goodfellow et al., "Maxout networks", ICML 2013. https://arxiv.org/abs/1302.4389
"""

import math

from torch import Tensor, nn

from pofxy.base.data import DataSpec
from pofxy.base.hyperparameters import Optimization
from pofxy.base.tags import Tags
from pofxy.nets.adversarial import AdversarialNet
from pofxy.nets.dropout import Dropout


class GAN(AdversarialNet):
    """Unconditional, for images of any size and for tables.

    Args:
        latent_dim: Z, dimension of the noise.
        hidden: units of a hidden layer; both nets have two.
        pieces: linear functions of which a maxout unit of the discriminator takes the maximum.
        dropout: share of the discriminator's hidden units that are dropped.
        penalty: gamma of R1; 0 is the loss of the paper.
        ema_decay: decay of the EMA of the generator's parameters, per step.
        optimization: steps, batch, learning rate and weight decay, for both nets; the schedule is a cosine.
    """

    tags = Tags(trained_in_steps=True)

    def __init__(
        self,
        latent_dim: int = 32,
        hidden: int = 256,
        pieces: int = 2,
        dropout: float = 0.3,
        penalty: float = 0.1,
        ema_decay: float = 0.99,
        optimization: Optimization = Optimization(steps=1600, batch=64, learning_rate=2e-3),
    ):
        super().__init__(latent_dim, penalty, ema_decay, optimization)
        self.hidden = hidden
        self.pieces = pieces
        self.dropout = dropout

    def build(self, spec: DataSpec) -> None:
        """Nets for images (C, H, W) or rows (D,)."""
        dimensions = math.prod(spec.shape)
        generator = nn.Sequential(
            nn.Linear(self.latent_dim, self.hidden),
            nn.ReLU(),
            nn.Linear(self.hidden, self.hidden),
            nn.ReLU(),
            nn.Linear(self.hidden, dimensions),
            # tanh(a) = 2 sigmoid(2 a) - 1: the sigmoid of the paper, in the range of the nets.
            nn.Tanh(),
            nn.Unflatten(1, spec.shape),
        )
        discriminator = nn.Sequential(
            nn.Flatten(),
            _Maxout(dimensions, self.hidden, self.pieces),
            Dropout(self.dropout),
            _Maxout(self.hidden, self.hidden, self.pieces),
            Dropout(self.dropout),
            nn.Linear(self.hidden, 1),
        )
        self.register_nets(spec, generator, discriminator)


class _Maxout(nn.Module):
    """(N, inputs) -> (N, outputs): each output is the maximum of several linear functions."""

    def __init__(self, inputs: int, outputs: int, pieces: int):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs * pieces)
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).unflatten(1, (-1, self.pieces)).amax(2)  # (N, outputs * pieces) -> (N, outputs)
