"""GAN: a generator that turns noise into images, and a discriminator that learns to tell them from the data; one loss, two sides.

    min over G, max over D of  E_x log D(x) + E_z log(1 - D(G(z))),        D(x) = p(x) / (p(x) + p_G(x)) at the best D

Where D is sure, log(1 - D(G(z))) is flat; as the paper advises, G maximises log D(G(z)) instead. The nets are fully connected:
ReLUs and a sigmoid in the generator, maxout and dropout in the discriminator. Newer than the paper: Adam, that an average of
generators samples, and the penalty R1, without which (0) the generator of a small data set is often left with a few modes.

References: I. Goodfellow et al., "Generative adversarial nets", NIPS 2014, equation 1 and algorithm 1; maxout: I. Goodfellow et
al., "Maxout networks", ICML 2013.
"""

import math

from torch import nn

from pofxy.base.tags import Tags
from pofxy.nets.adversarial import AdversarialNet
from pofxy.nets.dropout import Dropout


class GAN(AdversarialNet):
    """Unconditional, for images of any size and for tables.

    Args:
        latent_dim: Z, the dimensions of the noise.
        hidden: units of a hidden layer; both nets have two.
        pieces: linear functions whose largest a maxout unit of the discriminator is.
        dropout: share of the discriminator's hidden units that are dropped.
        penalty: gamma of R1; 0 is the paper's game.
        ema_decay: decay of the generator's average per step.
        steps: batches to train for.
        batch: images in one.
        learning_rate: at its height, of a cosine schedule, for both nets.
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
        steps: int = 1600,
        batch: int = 64,
        learning_rate: float = 2e-3,
    ):
        super().__init__()
        self.latent_dim, self.hidden, self.pieces, self.dropout = latent_dim, hidden, pieces, dropout
        self.penalty, self.ema_decay = penalty, ema_decay
        self.steps, self.batch, self.learning_rate = steps, batch, learning_rate

    def build(self, spec):
        """Nets for images (C, H, W) or rows (D,)."""
        dimensions, hidden = math.prod(spec.shape), self.hidden
        generator = nn.Sequential(
            nn.Linear(self.latent_dim, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, dimensions),
            # 2 sigmoid(2 a) - 1: the paper's sigmoid on the scale of the nets.
            nn.Tanh(),
            nn.Unflatten(1, spec.shape),
        )
        discriminator = nn.Sequential(
            nn.Flatten(),
            _Maxout(dimensions, hidden, self.pieces),
            Dropout(self.dropout),
            _Maxout(hidden, hidden, self.pieces),
            Dropout(self.dropout),
            nn.Linear(hidden, 1),
        )
        self.play(spec, generator, discriminator)


class _Maxout(nn.Module):
    """(N, inputs) -> (N, outputs): each the largest of several linear functions."""

    def __init__(self, inputs, outputs, pieces):
        super().__init__()
        self.linear, self.pieces = nn.Linear(inputs, outputs * pieces), pieces

    def forward(self, x):
        return self.linear(x).unflatten(1, (-1, self.pieces)).amax(2)  # (N, outputs pieces) -> (N, outputs)
