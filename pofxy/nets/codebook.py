"""A codebook whose vectors are exponential moving averages (EMA) of the features assigned to them.

    n_m <- decay n_m + (1 - decay) |{t : m_t = m}|,    s_m <- decay s_m + (1 - decay) sum_{t : m_t = m} z_t,    e_m = s_m / n_m

References:
    A. van den Oord, O. Vinyals, K. Kavukcuoglu, "Neural discrete representation learning", NIPS 2017, appendix A.1.
    https://arxiv.org/abs/1711.00937
    Random restarts: P. Dhariwal et al., "Jukebox: a generative model for music", 2020, section 3.1.
    https://arxiv.org/abs/2005.00341
"""

import torch
from torch import Tensor, nn

# A codebook vector to which fewer features of a batch are assigned, on average, is restarted.
RESTART_BELOW = 0.1
EMA_DECAY = 0.98


class Codebook(nn.Module):
    """M vectors, updated without gradients.

    Args:
        words: M, the number of vectors.
        features: E, the dimension of a vector.
    """

    words: Tensor
    count: Tensor
    sum: Tensor

    def __init__(self, words: int, features: int):
        super().__init__()
        self.register_buffer("words", torch.zeros(words, features))
        # Nothing has been assigned yet, so that all vectors start at features of the first batch.
        self.register_buffer("count", torch.zeros(words))
        self.register_buffer("sum", torch.zeros(words, features))

    def nearest(self, z: Tensor) -> Tensor:
        """Index of the nearest codebook vector for features z, (.., E) -> (..)."""
        with torch.autocast(z.device.type, enabled=False):
            # The squared distance without |z|^2, which is the same for all vectors.
            return (self.words.square().sum(1) - 2 * z @ self.words.T).argmin(-1)

    @torch.no_grad()
    def update(self, z: Tensor, latents: Tensor) -> None:
        """Moves each vector towards the mean of the features assigned to it, and restarts vectors that are hardly used.

        Args:
            z: features (N, T, E).
            latents: indices (N, T) of the vectors that they are assigned to.
        """
        z = z.flatten(0, 1)  # (N, T, E) -> (N T, E)
        latents = latents.flatten()
        weights = torch.full(latents.shape, 1 - EMA_DECAY, device=z.device)
        self.count.mul_(EMA_DECAY).index_add_(0, latents, weights)
        self.sum.mul_(EMA_DECAY).index_add_(0, latents, (1 - EMA_DECAY) * z)
        unused = self.count < RESTART_BELOW
        restart = z[torch.randint(len(z), (len(self.count),), device=z.device)]
        self.sum.copy_(torch.where(unused[:, None], restart, self.sum))
        self.count.copy_(torch.where(unused, 1.0, self.count))
        self.words.copy_(self.sum / self.count[:, None])
