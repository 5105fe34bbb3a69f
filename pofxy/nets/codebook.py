"""A codebook of vectors, each a running average of the features that choose it.

Source: A. van den Oord, O. Vinyals, K. Kavukcuoglu, "Neural discrete representation learning", NIPS 2017, appendix A.1; restarts:
P. Dhariwal et al., "Jukebox", arXiv:2005.00341, 2020, section 3.1.
"""

import torch
from torch import Tensor, nn

# A word that fewer choose in a batch, on average, starts anew.
DEAD = 0.1
# Share of the old in a word's average.
MEMORY = 0.98


class Codebook(nn.Module):
    """Words that follow the features that choose them, by running averages (appendix A.1).

    Args:
        words: M.
        features: E, of a word.
    """

    def __init__(self, words: int, features: int):
        super().__init__()
        self.register_buffer("words", torch.zeros(words, features))
        # None has been chosen yet, so that all of them start at features of the first batch.
        self.register_buffer("count", torch.zeros(words))
        self.register_buffer("sum", torch.zeros(words, features))

    def nearest(self, z: Tensor) -> Tensor:
        """The nearest word of each feature vector, (.., E) -> (..)."""
        with torch.autocast(z.device.type, enabled=False):
            return (self.words.square().sum(1) - 2 * z @ self.words.T).argmin(-1)  # but for |z|^2

    @torch.no_grad()
    def follow(self, z: Tensor, codes: Tensor) -> None:
        """Moves each word to the average of those z (N, T, E) that chose it; words that hardly any did start anew."""
        z, codes = z.flatten(0, 1), codes.flatten()
        self.count.mul_(MEMORY).index_add_(0, codes, torch.full(codes.shape, 1 - MEMORY, device=z.device))
        self.sum.mul_(MEMORY).index_add_(0, codes, (1 - MEMORY) * z)
        dead = self.count < DEAD
        anew = z[torch.randint(len(z), (len(self.count),), device=z.device)]
        self.sum.copy_(torch.where(dead[:, None], anew, self.sum))
        self.count.copy_(torch.where(dead, 1.0, self.count))
        self.words.copy_(self.sum / self.count[:, None])
