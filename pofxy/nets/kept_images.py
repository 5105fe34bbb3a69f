"""Train images kept by class: the base of the reference models that return real images in place of samples."""

import torch
from torch import Tensor, nn

from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.tags import Tags


class KeptImages(nn.Module):
    """Keeps images (or rows of a table) of the train split with their labels, and samples from them.

    Args:
        kept: number of images that are kept, chosen at random; at least one of each class.
    """

    tags = Tags(conditional=True, samples_without_replacement=True)
    images: Tensor
    labels: Tensor

    def __init__(self, kept: int):
        super().__init__()
        self.kept = kept

    def build(self, spec: DataSpec) -> None:
        """Makes empty buffers; fitting or loading replaces them by those of the kept images."""
        self.levels = spec.levels
        self.register_buffer("images", torch.empty(0))
        self.register_buffer("labels", torch.empty(0, dtype=torch.long))

    def fit(self, data: TrainingData, trainer: object) -> None:
        """Keeps images, (kept, C, H, W), as bytes of gray levels, a quarter of the size of floats; rows of a table as floats.

        `trainer` is not used.
        """
        self.build(data.spec)
        order = torch.randperm(len(data.x))
        first = torch.stack([torch.nonzero(data.y[order] == k)[0, 0] for k in range(data.spec.classes)])  # of each class, (K,)
        is_rest = ~torch.isin(torch.arange(len(order)), first)
        order = torch.cat([order[first], order[is_rest]])[: max(self.kept, len(first))]
        x = data.x[order]
        self.images = x if self.levels is None else (x * (self.levels - 1)).round().byte()
        self.labels = data.y[order]

    def sample(self, n: int, labels: Tensor | None = None) -> Tensor:
        """n images, (n, C, H, W), of the given labels where there are any.

        No image is repeated before all (of its label) have been returned once.
        """
        if labels is None:
            index = _shuffled(torch.arange(len(self.images)), n)
        else:
            labels = labels.cpu()
            index = torch.empty(n, dtype=torch.long)
            for k in labels.unique():
                index[labels == k] = _shuffled(torch.nonzero(self.labels.cpu() == k)[:, 0], int((labels == k).sum()))
        x = self.images[index.to(self.images.device)]
        return x if self.levels is None else x.float() / (self.levels - 1)


def _shuffled(index: Tensor, n: int) -> Tensor:
    """n of these indices in random order; none is repeated before all have occurred once."""
    return torch.cat([index[torch.randperm(len(index))] for _ in range(-(-n // len(index)))])[:n]
