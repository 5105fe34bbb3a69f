"""The law of L-level pixels that a decoder gives: a mixture of logistic laws for every pixel, cut at the edges of the L bins.

    p(x | w, c, s) = prod_d sum_m w_dm [sigma((x_d + h/2 - c_dm) / s_dm) - sigma((x_d - h/2 - c_dm) / s_dm)],      h = 1 / (L - 1)

The first bin reaches down and the last one up to infinity, so the bins of a pixel sum to one: an exact mass. A pixel has 3 M
parameters whatever L is, where a categorical law has L; one component is too plain for a pixel that is either black or white.

Reference: T. Salimans, A. Karpathy, X. Chen, D. P. Kingma, "PixelCNN++", ICLR 2017, section 2.1.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

# An open end lies so far out that its term is 0, and with it its gradient.
FAR = 1e4


class DiscretizedLogisticMixture:
    """What the numbers that a decoder puts out mean; it learns nothing itself.

    Args:
        levels: L.
        components: M logistic laws in the mixture of a pixel.
    """

    def __init__(self, levels: int, components: int = 3):
        self.levels, self.components = levels, components
        self.size = 3 * components  # numbers that a decoder puts out for each pixel

    def log_mass(self, x: Tensor, parameters: Tensor) -> Tensor:
        """log p(x) in nats, (N,), of images x (N, ...) under parameters (N, 3 M D), those of one kind for all pixels in a row."""
        log_weight, centre, log_scale = self._law(parameters)
        x, half, precision = x.flatten(1)[:, None], 0.5 / (self.levels - 1), (-log_scale).exp()  # x (N, 1, D)
        middle, reach = (x - centre) * precision, half * precision  # the bin in units of the scale: middle +- reach
        # log(s(m + r) - s(m - r)) = log s(m + r) + log s(r - m) + log(1 - exp(-2 r)); with an open end the last term goes, too.
        top, bottom = (x > 1 - half).float(), (x < half).float()
        ends = F.softplus(-middle - reach - FAR * top) + F.softplus(middle - reach - FAR * bottom)
        closed = (1 - top - bottom) * torch.log(-torch.expm1(-2 * reach))
        return (log_weight + closed - ends).logsumexp(1).sum(1)  # (N, M, D) -> (N,)

    def sample(self, parameters: Tensor) -> Tensor:
        """One image of L levels for each row of parameters (N, 3 M D), (N, D) in [0, 1]."""
        log_weight, centre, log_scale = self._law(parameters)
        # The largest of log w + Gumbel noise falls on component m with probability w_m.
        component = (log_weight - (-_uniform(log_weight).log()).log()).argmax(1, keepdim=True)  # (N, 1, D)
        centre, log_scale = (part.gather(1, component)[:, 0] for part in (centre, log_scale))  # (N, D)
        u = _uniform(centre)
        x = centre + log_scale.exp() * (u.log() - (-u).log1p())  # the inverse of the logistic law
        return (x.clamp(0, 1) * (self.levels - 1)).round() / (self.levels - 1)

    def mean(self, parameters: Tensor) -> Tensor:
        """The mean image, (N, D) in [0, 1], but for the cut into levels."""
        log_weight, centre, log_scale = self._law(parameters)
        scale = log_scale.exp()
        # The mean of a logistic law whose tails are gathered at 0 and 1 is the integral over t in [0, 1] of P(x > t).
        mean = scale * (F.softplus(centre / scale) - F.softplus((centre - 1) / scale))
        return (log_weight.exp() * mean).sum(1).clamp(0, 1)

    def _law(self, parameters):
        """log w, c and log s, each (N, M, D): centres that begin all over [0, 1], each with a share of its width."""
        law = parameters.float().view(len(parameters), 3, self.components, -1)  # (N, 3 M D) -> (N, 3, M, D)
        log_weight, centre, log_scale = law.unbind(1)
        first = (torch.arange(self.components, device=law.device) + 0.5) / self.components
        return log_weight.log_softmax(1), centre + first[:, None], (log_scale - 2).clamp(-7, 7)


def _uniform(like):
    return torch.rand_like(like).clamp(1e-6, 1 - 1e-6)
