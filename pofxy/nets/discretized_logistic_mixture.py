"""Discretized logistic mixture: the distribution of L-level pixels that a decoder parametrizes.

    p(x | w, c, s) = prod_d sum_m w_dm [sigma((x_d + h/2 - c_dm) / s_dm) - sigma((x_d - h/2 - c_dm) / s_dm)],      h = 1 / (L - 1)

Each pixel has a mixture of M logistic distributions, integrated over the L bins. The first bin extends to minus infinity and the
last one to plus infinity, so the bins of a pixel sum to one: an exact probability mass. A pixel has 3 M parameters for any L,
where a categorical distribution has L. One component is not enough for a pixel that is either black or white.

Reference: T. Salimans, A. Karpathy, X. Chen, D. P. Kingma, "PixelCNN++: improving the PixelCNN with discretized logistic mixture
likelihood and other modifications", ICLR 2017, section 2.1. https://arxiv.org/abs/1701.05517
"""

import torch
from torch import Tensor
from torch.nn import functional as F

# An open end of a bin lies so far out that its term is 0, and so is the gradient of the term.
FAR = 1e4


class DiscretizedLogisticMixture:
    """Mass, samples and mean of images, given the output of a decoder. It has no parameters of its own.

    Args:
        levels: L.
        components: M, logistic distributions in the mixture of a pixel.
    """

    def __init__(self, levels: int, components: int = 3):
        self.levels = levels
        self.components = components
        self.size = 3 * components  # outputs of the decoder for each pixel

    def log_mass(self, x: Tensor, parameters: Tensor) -> Tensor:
        """log p(x) in nats, (N,).

        Args:
            x: images (N, ...) in [0, 1] with D pixels each, counting channels.
            parameters: (N, 3 M D): the M logits of the weights for all pixels, then the centers, then the log scales.
        """
        log_weight, center, log_scale = self._split(parameters)
        x = x.flatten(1)[:, None]  # (N, ...) -> (N, 1, D)
        half = 0.5 / (self.levels - 1)
        precision = (-log_scale).exp()
        # The bin in units of the scale: middle +- reach.
        middle = (x - center) * precision
        reach = half * precision
        # log(s(m + r) - s(m - r)) = log s(m + r) + log s(r - m) + log(1 - exp(-2 r)). With an open end the last term is left out.
        top = (x > 1 - half).float()
        bottom = (x < half).float()
        ends = F.softplus(-middle - reach - FAR * top) + F.softplus(middle - reach - FAR * bottom)
        closed = (1 - top - bottom) * torch.log(-torch.expm1(-2 * reach))
        return (log_weight + closed - ends).logsumexp(1).sum(1)  # (N, M, D) -> (N,)

    def sample(self, parameters: Tensor) -> Tensor:
        """One image of L levels for each row of parameters (N, 3 M D), (N, D) in [0, 1]."""
        log_weight, center, log_scale = self._split(parameters)
        # The argmax of log w + Gumbel noise is component m with probability w_m.
        component = (log_weight - (-_uniform(log_weight).log()).log()).argmax(1, keepdim=True)  # (N, 1, D)
        center, log_scale = (part.gather(1, component)[:, 0] for part in (center, log_scale))  # (N, D)
        u = _uniform(center)
        x = center + log_scale.exp() * (u.log() - (-u).log1p())  # the inverse of the logistic distribution function
        return (x.clamp(0, 1) * (self.levels - 1)).round() / (self.levels - 1)

    def mean(self, parameters: Tensor) -> Tensor:
        """The mean image for parameters (N, 3 M D), (N, D) in [0, 1], without rounding to levels."""
        log_weight, center, log_scale = self._split(parameters)
        scale = log_scale.exp()
        # The mean of a logistic distribution that is clamped to [0, 1] is the integral of P(x > t) over t in [0, 1].
        mean = scale * (F.softplus(center / scale) - F.softplus((center - 1) / scale))
        return (log_weight.exp() * mean).sum(1).clamp(0, 1)

    def _split(self, parameters):
        """log w, c and log s, each (N, M, D). At output 0 the centers are spread over [0, 1]."""
        parts = parameters.float().view(len(parameters), 3, self.components, -1)  # (N, 3 M D) -> (N, 3, M, D)
        log_weight, center, log_scale = parts.unbind(1)
        initial_center = (torch.arange(self.components, device=parts.device) + 0.5) / self.components
        return log_weight.log_softmax(1), center + initial_center[:, None], (log_scale - 2).clamp(-7, 7)


def _uniform(like):
    return torch.rand_like(like).clamp(1e-6, 1 - 1e-6)
