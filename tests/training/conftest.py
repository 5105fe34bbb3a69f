"""Made data sets and nets that are trained in a second."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.seeding import seed_everything
from pofxy.training.trainer import Objective, Trainer


class Classifier(nn.Module):
    """A classifier of 4 numbers with dropout: its training draws random numbers in every step."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 2))

    def loss(self, x, y):
        return F.cross_entropy(self.layers(x).float(), y)

    def fit(self, data, trainer, steps=60, **options):
        objective = Objective(self.loss, self.parameters(), 1e-2)
        trainer.run(self, data, [objective], steps=steps, batch=16, validate=self.loss, **options)


class ConvolutionalClassifier(nn.Module):
    """A classifier of images whose parameters have the memory layout channels_last."""

    def __init__(self):
        super().__init__()
        layers = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 3))
        self.layers = layers.to(memory_format=torch.channels_last)

    def loss(self, x, y):
        return F.cross_entropy(self.layers(x), y)

    def fit(self, data, trainer):
        objective = Objective(self.loss, self.parameters(), 1e-2)
        trainer.run(self, data, [objective], steps=40, batch=16, validate=self.loss)


class TwoParts(nn.Module):
    """Two parts trained one after the other, the second on the output of the first one; it can be sampled, too."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(64, 3)
        self.second = nn.Linear(3, 64)

    def fit(self, data, trainer):
        for name, part, loss in (("first", self.first, self.loss_of_classes), ("second", self.second, self.loss_of_images)):
            trainer.run(self, data, [Objective(loss, part.parameters(), 1e-2, name=name)], steps=40, batch=16)

    def loss_of_classes(self, x, y):
        return F.cross_entropy(self.first(F.dropout(x.flatten(1), 0.2)), y)

    def loss_of_images(self, x, y):
        latents = self.first(x.flatten(1)).detach() + torch.randn(len(x), 3)
        return (self.second(latents).sigmoid() - x.flatten(1)).square().mean()

    def sample(self, n, labels=None):
        return self.second(torch.randn(n, 3)).sigmoid().view(n, 1, 8, 8)


@pytest.fixture
def table():
    """96 rows of 4 numbers in two classes to train on, and 16 in the val split."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(112, 4, generator=generator)
    y = (x[:, 0] > x[:, 1]).long()
    return TrainingData(DataSpec("made", (4,), 2, None, ("a", "b")), x[:96], y[:96], x[96:], y[96:])


@pytest.fixture
def images():
    """96 images of noise in three classes; the first ones are the val split."""
    x = torch.rand(96, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    y = torch.arange(96) % 3
    return TrainingData(DataSpec("made", (1, 8, 8), 3, 5, ("a", "b", "c")), x, y, x[:30], y[:30])


@pytest.fixture
def one_pass_an_epoch(monkeypatch):
    """The made data are so few that an epoch would else be several passes."""
    monkeypatch.setattr("pofxy.training.trainer.EPOCH_STEPS", 1)


@pytest.fixture
def new_classifier():
    """Makes a net for the table, with random parameters."""
    return Classifier


@pytest.fixture
def train_classifier(table):
    """Trains a new classifier of the table from a fixed seed; gives the net."""

    def train(trainer, **options):
        seed_everything(5)
        net = Classifier()
        net.fit(table, trainer, **options)
        return net

    return train


@pytest.fixture
def train_on_images(images):
    """Trains a new net of a class on the images from a fixed seed; gives the net and its trainer."""

    def train(net_class, **options):
        seed_everything(5)
        net = net_class()
        trainer = Trainer(**options)
        net.fit(images, trainer)
        return net, trainer

    return train


@pytest.fixture
def train_two_parts(train_on_images):
    """Trains a net in two parts; gives the net and its trainer."""

    def train(**options):
        return train_on_images(TwoParts, **options)

    return train


@pytest.fixture
def train_channels_last(train_on_images):
    """Trains a net in the memory layout channels_last; gives the net and its trainer."""

    def train(**options):
        return train_on_images(ConvolutionalClassifier, **options)

    return train


@pytest.fixture
def interrupt_at():
    """Makes an `on_epoch` that ends a training after an epoch by KeyboardInterrupt."""

    def make(last_epoch):
        def interrupt(epoch, metrics):
            if epoch == last_epoch:
                raise KeyboardInterrupt

        return interrupt

    return make


@pytest.fixture
def assert_same_training():
    """Compares two trained nets and their trainers, to the last bit; only the seconds may differ."""

    def without_seconds(history):
        return [{name: value for name, value in row.items() if name != "seconds"} for row in history]

    def compare(net, trainer, other_net, other_trainer):
        assert without_seconds(trainer.history) == without_seconds(other_trainer.history)
        others = other_net.state_dict()
        for name, tensor in net.state_dict().items():
            assert torch.equal(tensor, others[name]), name

    return compare
