"""Samples during training: when they are drawn, their diversity, and collapse."""

import pytest
import torch
from torch import nn

from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.tags import Tags
from pofxy.training.sample_monitor import SampleMonitor, collapsed_since


class LabelSampler(nn.Module):
    """A conditional model whose samples are a function of the labels."""

    tags = Tags(conditional=True)

    def __init__(self, images_of):
        super().__init__()
        self.images_of = images_of

    def sample(self, n, labels=None):
        return self.images_of(labels.tolist())


@pytest.fixture
def images():
    """96 images of noise in three classes; the first ones are the val split."""
    x = torch.rand(96, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    y = torch.arange(96) % 3
    return TrainingData(DataSpec("made", (1, 8, 8), 3, 5, ("a", "b", "c")), x, y, x[:30], y[:30])


def test_real_images_have_a_diversity_of_one(images):
    def different_images(labels):
        return torch.stack([images.x[images.y == k][i] for i, k in enumerate(labels)])

    assert SampleMonitor().take(LabelSampler(different_images), images, 1)["diversity"] == pytest.approx(1, abs=0.15)


def test_one_image_per_class_has_no_diversity(images):
    def first_images(labels):
        return torch.stack([images.x[images.y == k][0] for k in labels])

    assert SampleMonitor().take(LabelSampler(first_images), images, 1)["diversity"] == 0


@pytest.mark.parametrize(
    ("diversity", "epoch"),
    [
        ((0.0, 0.4, None, 0.1, 0.05), 40),
        ((0.0, 0.1, 0.9, None), None),  # samples that are alike only at first are no collapse
        ((None,), None),
    ],
)
def test_a_collapse_is_reported_with_the_epoch_that_it_lasts_from(diversity, epoch):
    history = [
        {"epoch": 10 * i} | ({"diversity": value} if value is not None else {}) for i, value in enumerate(diversity, start=1)
    ]
    assert collapsed_since(history) == epoch


@pytest.mark.parametrize(
    ("n", "epochs"),
    [(0, []), (1, [0]), (6, [0, 1, 2, 3, 4, 5]), (17, [0, 2, 5, 7, 9, 11, 14, 16])],
)
def test_few_epochs_are_shown_and_the_first_and_the_last_are_among_them(n, epochs):
    monitor = SampleMonitor()
    monitor.taken = [(epoch, torch.zeros(1)) for epoch in range(n)]
    assert [epoch for epoch, _ in monitor.shown] == epochs
