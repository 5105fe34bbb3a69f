"""RealNVP: a flow of affine coupling layers, each of which shifts and scales one half of the numbers by what the other half is.

    z_a = v_a,        z_b = v_b * exp(s(v_a)) + t(v_a),        log |det| = sum s(v_a)        (eq. 4 to 6)

Whatever the nets s and t are, the layer is inverted by the same nets, and its Jacobian is triangular. Layers come in pairs, so
that each half learns of the other, and each pair halves the pixels in another, random way. s and t are fully connected, the form
of the paper for vectors; the convolutional one with squeezes and scales is Glow's here.

Preprocessing: not the logit of section 4.1, but each pixel's own distribution function, then the normal law's quantile function
(nets/normalizing_flow.py); columns of a table are standardised. The class enters by the base law, a Gaussian for each.

Reference: L. Dinh, J. Sohl-Dickstein, S. Bengio, "Density estimation using Real NVP", ICLR 2017.
"""

import torch
from torch import nn

from pofxy.base.tags import Tags
from pofxy.nets.dropout import Dropout
from pofxy.nets.normalizing_flow import NormalizingFlow


class RealNVP(NormalizingFlow):
    """Density over the bins of the pixels; works on tables as it does on images.

    Args:
        n_couplings: coupling layers, even.
        hidden: units of each of a coupling net's two hidden layers.
        dropout: share of these units that are dropped: a flow learns a small data set by heart.
        steps: batches to train for.
        batch: images in one.
        learning_rate: at its height, of a cosine schedule.
        weight_decay: of AdamW.
        temperature: factor of the base law's deviation in sampling; below 1 images come nearer to the middle of their class.
    """

    tags = Tags(conditional=True, likelihood="density", trained_in_steps=True)

    def __init__(
        self,
        n_couplings: int = 8,
        hidden: int = 128,
        dropout: float = 0.25,
        steps: int = 1500,
        batch: int = 128,
        learning_rate: float = 2e-3,
        weight_decay: float = 0.01,
        temperature: float = 1.0,
    ):
        super().__init__(steps, batch, learning_rate, weight_decay, temperature)
        self.n_couplings, self.hidden, self.dropout = n_couplings, hidden, dropout

    def build(self, spec):
        """Layers; a single column has nothing to be coupled with, and keeps its base law."""
        self.start(spec)
        pairs = self.n_couplings // 2 if self.dimensions > 1 else 0
        self.pairs = nn.ModuleList([CouplingPair(self.dimensions, self.hidden, self.dropout) for _ in range(pairs)])

    def to_base(self, v):
        """v (N, D) -> z (N, D), log |det dz/dv| (N,)."""
        log_det = v.new_zeros(len(v))
        for pair in self.pairs:
            v, term = pair(v)
            log_det = log_det + term
        return v, log_det

    def from_base(self, z):
        """z (N, D) -> v (N, D)."""
        for pair in reversed(self.pairs):
            z = pair.inverse(z)
        return z


class CouplingPair(nn.Module):
    """Two coupling layers over one random halving of D numbers: the second half by the first, then the first by the second.

    Args:
        dimensions: D, 2 or more.
        hidden: units of a hidden layer.
        dropout: share of hidden units that are dropped.
    """

    def __init__(self, dimensions: int, hidden: int, dropout: float):
        super().__init__()
        self.register_buffer("order", torch.randperm(dimensions))
        self.sizes = (dimensions // 2, dimensions - dimensions // 2)
        self.second = CouplingNet(self.sizes[0], self.sizes[1], hidden, dropout)
        self.first = CouplingNet(self.sizes[1], self.sizes[0], hidden, dropout)

    def forward(self, v):
        """(N, D) -> (N, D), whose numbers stand in the new order, and log |det| (N,)."""
        a, b = v[:, self.order].split(self.sizes, 1)  # (N, D) -> (N, D/2) each
        s, t = self.second(a)
        b = b * s.exp() + t
        log_det = s.sum(1)
        s, t = self.first(b)
        a = a * s.exp() + t
        return torch.cat([a, b], 1), log_det + s.sum(1)

    def inverse(self, z):
        """(N, D) -> (N, D)."""
        a, b = z.split(self.sizes, 1)
        s, t = self.first(b)
        a = (a - t) * (-s).exp()
        s, t = self.second(a)
        b = (b - t) * (-s).exp()
        return torch.cat([a, b], 1)[:, self.order.argsort()]


class CouplingNet(nn.Module):
    """s and t of a coupling layer; both 0 at first, so that the flow begins as the identity.

    Args:
        inputs: numbers that it sees.
        outputs: numbers to be shifted and scaled.
        hidden: units of a hidden layer.
        dropout: share of them that are dropped.
    """

    def __init__(self, inputs: int, outputs: int, hidden: int, dropout: float):
        super().__init__()
        self.dropout = Dropout(dropout)
        self.layers = nn.ModuleList([nn.Linear(inputs, hidden), nn.Linear(hidden, hidden)])
        self.out = nn.Linear(hidden, 2 * outputs)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, a):
        """(N, inputs) -> s, t (N, outputs) each; s within -2 and 2: no single layer can blow up the flow."""
        h = a
        for layer in self.layers:
            h = self.dropout(layer(h).relu())
        s, t = self.out(h).to(a.dtype).chunk(2, dim=1)  # (N, 2 D/2) -> 2 of (N, D/2)
        return 2 * torch.tanh(s / 2), t
