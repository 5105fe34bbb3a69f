"""Exponential moving average (EMA) of a net's parameters, which gives better samples than the parameters of the last step.

    theta_ema <- theta                                           (first step)
    theta_ema <- decay * theta_ema + (1 - decay) * theta         (every further step)

Reference: Y. Yazici et al., "The unusual effectiveness of averaging in GAN training", ICLR 2019. https://arxiv.org/abs/1806.04498
"""

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def exponential_moving_average(net: nn.Module, decay: float) -> AveragedModel:
    """A copy of a net that holds the average; `update_parameters(net)` moves it, `module` is the averaged net.

    Args:
        net: the net that is trained. Its buffers, e.g. the statistics of batch normalization, are averaged like its parameters.
        decay: share of the old average that one step keeps.
    """
    ema = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
    ema.requires_grad_(False)
    return ema
