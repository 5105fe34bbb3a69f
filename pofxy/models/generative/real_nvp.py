"""RealNVP: a normalizing flow of affine coupling layers. Each shifts and scales half of the numbers by functions of the rest.

    z_a = v_a,        z_b = v_b * exp(s(v_a)) + t(v_a),        log |det| = sum s(v_a)        (eq. 4 to 6)

For any nets s and t, the layer is inverted by evaluating the same nets, and its Jacobian is triangular. Layers come in pairs, so
that both halves change, and each pair splits the pixels in another random way. s and t are fully connected nets, the paper's form
for vectors. Its convolutional form with squeezes and several scales is the model `glow` here.

Preprocessing is not the logit of section 4.1. Each pixel goes through its own distribution function, then through the normal
distribution's quantile function (nets/normalizing_flow.py); columns of a table are standardized. The class enters by the base
distribution, a Gaussian for each class.

Reference: L. Dinh, J. Sohl-Dickstein, S. Bengio, "Density estimation using Real NVP", ICLR 2017. https://arxiv.org/abs/1605.08803
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from pofxy.base.data import DataSpec
from pofxy.base.hyperparameters import Optimization
from pofxy.base.tags import Tags
from pofxy.nets.dropout import Dropout
from pofxy.nets.normalizing_flow import NormalizingFlow


class RealNVP(NormalizingFlow):
    """A density over the dequantized pixels; works on tables as well as on images.

    Args:
        n_couplings: coupling layers, even.
        hidden: units of each of a coupling net's two hidden layers.
        dropout: share of these units that are dropped: a flow overfits a small data set.
        optimization: steps, batch, learning rate and weight decay of AdamW with a cosine schedule.
        temperature: factor of the base distribution's standard deviation in sampling; below 1 images are nearer to the center
            of their class.
    """

    tags = Tags(conditional=True, likelihood="density", trained_in_steps=True)

    def __init__(
        self,
        n_couplings: int = 8,
        hidden: int = 128,
        dropout: float = 0.25,
        optimization: Optimization = Optimization(steps=1500, batch=128, learning_rate=2e-3, weight_decay=0.01),
        temperature: float = 1.0,
    ):
        super().__init__(optimization, temperature)
        self.n_couplings = n_couplings
        self.hidden = hidden
        self.dropout = dropout

    def build(self, spec: DataSpec) -> None:
        """Makes the layers. A single column has nothing to be coupled with and keeps its base distribution."""
        self.start(spec)
        pairs = self.n_couplings // 2 if self.dimensions > 1 else 0
        couplings = nn.ModuleList([CouplingPair(self.dimensions, self.hidden, self.dropout) for _ in range(pairs)])
        self.pairs = cast(Sequence[CouplingPair], couplings)

    def to_base(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """v (N, D) -> z (N, D), log |det dz/dv| (N,)."""
        log_det = v.new_zeros(len(v))
        for pair in self.pairs:
            v, term = pair(v)
            log_det = log_det + term
        return v, log_det

    def from_base(self, z: Tensor) -> Tensor:
        """z (N, D) -> v (N, D)."""
        for pair in reversed(self.pairs):
            z = pair.inverse(z)
        return z


class CouplingPair(nn.Module):
    """Two coupling layers over one random split of D numbers: the second half by the first, then the first by the second.

    Args:
        dimensions: D, 2 or more.
        hidden: units of a hidden layer.
        dropout: share of hidden units that are dropped.
    """

    order: Tensor

    def __init__(self, dimensions: int, hidden: int, dropout: float):
        super().__init__()
        self.register_buffer("order", torch.randperm(dimensions))
        self.sizes = (dimensions // 2, dimensions - dimensions // 2)
        self.second = CouplingNet(self.sizes[0], self.sizes[1], hidden, dropout)
        self.first = CouplingNet(self.sizes[1], self.sizes[0], hidden, dropout)

    def forward(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """(N, D) -> (N, D), whose numbers are in the new order, and log |det| (N,)."""
        a, b = v[:, self.order].split(self.sizes, 1)  # (N, D) -> (N, D/2) each
        s, t = self.second(a)
        b = b * s.exp() + t
        log_det = s.sum(1)
        s, t = self.first(b)
        a = a * s.exp() + t
        return torch.cat([a, b], 1), log_det + s.sum(1)

    def inverse(self, z: Tensor) -> Tensor:
        """(N, D) -> (N, D)."""
        a, b = z.split(self.sizes, 1)
        s, t = self.first(b)
        a = (a - t) * (-s).exp()
        s, t = self.second(a)
        b = (b - t) * (-s).exp()
        return torch.cat([a, b], 1)[:, self.order.argsort()]


class CouplingNet(nn.Module):
    """s and t of a coupling layer; both are initially 0, so that the flow starts as the identity.

    Args:
        inputs: numbers of the half that is kept.
        outputs: numbers of the half that is shifted and scaled.
        hidden: units of a hidden layer.
        dropout: share of hidden units that are dropped.
    """

    def __init__(self, inputs: int, outputs: int, hidden: int, dropout: float):
        super().__init__()
        self.dropout = Dropout(dropout)
        self.layers = nn.ModuleList([nn.Linear(inputs, hidden), nn.Linear(hidden, hidden)])
        self.out = nn.Linear(hidden, 2 * outputs)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, a: Tensor) -> tuple[Tensor, Tensor]:
        """(N, inputs) -> s, t (N, outputs) each; s lies within -2 and 2, so that no single layer makes the flow diverge."""
        h = a
        for layer in self.layers:
            h = self.dropout(layer(h).relu())
        s, t = self.out(h).to(a.dtype).chunk(2, dim=1)  # (N, 2 outputs) -> 2 of (N, outputs)
        return 2 * torch.tanh(s / 2), t
