"""Samples, and the real images that they are compared with: as many of the test or train split, chosen at random by the seed."""

import torch
from torch import Tensor

from pofxy.base.capabilities import SupportsSample
from pofxy.base.tags import tags_of
from pofxy.evaluation.neighbors import nearest
from pofxy.evaluation.quantities.data import random_rows
from pofxy.evaluation.quantity import NotApplicable, quantity

# Nearest images of the pool that a permutation test can do with: that all are of one side has a chance of 2^-19.
POOLED = 20
# Nearest train images of each sample.
NEAREST = 3


@quantity(rows="samples", source="{input_kind}", kept=False)
def sample_pixels(model: SupportsSample, samples: Tensor) -> Tensor:
    """The samples, (n, ...)."""
    return samples


@quantity(rows="samples", redrawn=True, kept=False)
def sample_labels(model: SupportsSample, requested_labels: Tensor) -> Tensor:
    """The labels that the samples were requested for, (n,)."""
    if not bool((requested_labels >= 0).all()):
        raise NotApplicable("the samples were requested for no labels")
    return requested_labels


@quantity(rows="test", kept=False)
def test_pixels(x: Tensor, seed: int, samples: Tensor | None = None) -> Tensor:
    """As many random test images as there are samples, (n, ...); all of them where there are none."""
    n = len(x) if samples is None else len(samples)
    return x[random_rows(seed, len(x), n)]


@quantity(kept=False)
def unseen_train(model: SupportsSample, x_train: Tensor, samples: Tensor) -> Tensor:
    """The train images that samples may have been copied from, (M, ...): samples that are real images are left out themselves."""
    if not tags_of(model).samples_are_real:
        return x_train
    shown = {image.numpy().tobytes() for image in samples}
    return x_train[torch.tensor([image.numpy().tobytes() not in shown for image in x_train])]


@quantity(rows="train", kept=False)
def train_pixels(unseen_train: Tensor, samples: Tensor, seed: int) -> Tensor:
    """As many random train images as there are samples, (n, ...)."""
    return unseen_train[random_rows(seed, len(unseen_train), len(samples))]


@quantity(rows="samples")
def nearest_train(unseen_train: Tensor, samples: Tensor) -> tuple[Tensor, Tensor]:
    """Distances and row numbers of the three train images nearest to each sample, (n, 3) each."""
    return nearest(samples.flatten(1), unseen_train.flatten(1), NEAREST)


@quantity(rows="samples", source="{input_kind}", kept=False)
def sample_nearest_train(nearest_train: tuple[Tensor, Tensor]) -> Tensor:
    """The distance of each sample to its nearest train image, (n,)."""
    return nearest_train[0][:, 0]


@quantity(rows="samples", source="{input_kind}")
def sample_nearest_train_own(nearest_train: tuple[Tensor, Tensor], unseen_train: Tensor) -> Tensor:
    """The distance of that train image to the train image nearest to it, (n,)."""
    own = unseen_train[nearest_train[1][:, 0]].flatten(1)  # (n, ...) -> (n, D)
    return nearest(own, unseen_train.flatten(1), 2)[0][:, 1]  # the nearest of all is the image itself


@quantity()
def pool_size(unseen_train: Tensor, samples: Tensor, x: Tensor) -> int:
    """The number of train images in the pool of real images, and of test images."""
    return min(len(samples), len(x), len(unseen_train))


@quantity(rows="samples")
def sample_pool(unseen_train: Tensor, samples: Tensor, x: Tensor, pool_size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Distances and numbers of the pool's images nearest to each sample, (n, POOLED) each; train images come first."""
    train, test = (rows[random_rows(seed, len(rows), pool_size)].flatten(1) for rows in (unseen_train, x))
    return nearest(samples.flatten(1), torch.cat([train, test]), min(POOLED, 2 * pool_size))


@quantity(rows="samples", source="{input_kind}", kept=False)
def sample_pool_distance(sample_pool: tuple[Tensor, Tensor]) -> Tensor:
    """The distances alone, (n, POOLED)."""
    return sample_pool[0]


@quantity(rows="samples", source="{input_kind}", kept=False)
def sample_pool_index(sample_pool: tuple[Tensor, Tensor]) -> Tensor:
    """The numbers alone, (n, POOLED)."""
    return sample_pool[1]
