"""What the references that give real images in place of samples have in common: train images, kept by class."""

import torch
from torch import Tensor, nn

from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.tags import Tags


class KeptImages(nn.Module):
    """Keeps images, or rows of a table, of the train split with their labels, and draws from them.

    Args:
        kept: how many are kept, at random; of each class one at least.
    """

    tags = Tags(conditional=True, samples_without_replacement=True)

    def __init__(self, kept: int):
        super().__init__()
        self.kept = kept

    def build(self, spec: DataSpec) -> None:
        """Buffers whose sizes are those of what was kept."""
        self.levels = spec.levels
        self.register_buffer("images", torch.empty(0))
        self.register_buffer("labels", torch.empty(0, dtype=torch.long))

    def fit(self, data: TrainingData, trainer) -> None:
        """Keeps images, (kept, C, H, W): their grey levels as bytes, a quarter of the floats; rows of a table as they are."""
        self.build(data.spec)
        order = torch.randperm(len(data.x))
        first = torch.stack([torch.nonzero(data.y[order] == k)[0, 0] for k in range(data.spec.classes)])  # of each class, (K,)
        rest = ~torch.isin(torch.arange(len(order)), first)
        order = torch.cat([order[first], order[rest]])[: max(self.kept, len(first))]
        x = data.x[order]
        self.images = x if self.levels is None else (x * (self.levels - 1)).round().byte()
        self.labels = data.y[order]

    def sample(self, n: int, labels: Tensor | None = None) -> Tensor:
        """n images, (n, C, H, W), of these labels where there are any: each at most once as long as there are enough."""
        if labels is None:
            index = _shuffled(torch.arange(len(self.images)), n)
        else:
            labels, index = labels.cpu(), torch.empty(n, dtype=torch.long)
            for k in labels.unique():
                index[labels == k] = _shuffled(torch.nonzero(self.labels.cpu() == k)[:, 0], int((labels == k).sum()))
        x = self.images[index.to(self.images.device)]
        return x if self.levels is None else x.float() / (self.levels - 1)


def _shuffled(index: Tensor, n: int) -> Tensor:
    """n of these indices in random order, none a second time before all were there once."""
    return torch.cat([index[torch.randperm(len(index))] for _ in range(-(-n // len(index)))])[:n]
