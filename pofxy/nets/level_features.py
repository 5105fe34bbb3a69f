"""What a net is told of a grey level: its value, and features that are learned for it, since grey levels are names, too."""

import torch
from torch import Tensor, nn


class LevelFeatures(nn.Module):
    """Value, from -1 to 1, and embedding of a level.

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
