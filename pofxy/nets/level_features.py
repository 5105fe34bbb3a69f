"""Input features of a gray level: its value and a learned embedding, because levels are categories as well as numbers."""

import torch
from torch import Tensor, nn


class LevelFeatures(nn.Module):
    """The value of a level, scaled to -1..1, beside an embedding of it.

    Args:
        levels: L.
        embedding: E, learned features.
    """

    def __init__(self, levels: int, embedding: int):
        super().__init__()
        self.learned = nn.Embedding(levels, embedding)

    def forward(self, q: Tensor) -> Tensor:
        """Levels (..) -> (.., 1 + E)."""
        value = q[..., None] / (self.learned.num_embeddings - 1) * 2 - 1
        return torch.cat([value, self.learned(q)], -1)
