"""The training loop: epochs, resume, early stopping, divergence, mixed precision, several objectives, several parts."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.seeding import seed_everything
from pofxy.training.sample_monitor import SampleMonitor
from pofxy.training.trainer import Diverged, Objective, Trainer


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


@pytest.fixture(autouse=True)
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


# ---- epochs ----


def test_an_epoch_of_few_images_is_several_passes(train_classifier, monkeypatch):
    monkeypatch.setattr("pofxy.training.trainer.EPOCH_STEPS", 10)
    trainer = Trainer()
    train_classifier(trainer)  # 6 batches a pass, 60 steps
    assert [row["epoch"] for row in trainer.history] == [1, 2, 3, 4, 5]
    short = Trainer()
    train_classifier(short, steps=5)
    assert len(short.history) == 1, "a budget of a few steps is not exceeded by several passes"


# ---- resume ----


def test_a_resumed_training_is_the_uninterrupted_one_bit_for_bit(
    train_classifier, new_classifier, table, interrupt_at, assert_same_training, tmp_path
):
    uninterrupted = Trainer()
    expected = train_classifier(uninterrupted)
    checkpoint = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train_classifier(Trainer(checkpoint=checkpoint, checkpoint_seconds=0, on_epoch=interrupt_at(5), fingerprint="a"))
    epochs = []
    resumed = Trainer(checkpoint=checkpoint, on_epoch=lambda epoch, metrics: epochs.append(epoch), fingerprint="a")
    torch.manual_seed(999)  # the state of the global generators does not matter: the checkpoint has its own
    net = new_classifier()
    net.fit(table, resumed)
    assert epochs == list(range(1, 11))
    assert_same_training(net, resumed, expected, uninterrupted)


def test_a_resumed_training_keeps_the_memory_layout_of_the_optimizer(
    train_channels_last, interrupt_at, assert_same_training, tmp_path
):
    expected, uninterrupted = train_channels_last()
    options = {"checkpoint": tmp_path / "checkpoint.safetensors", "checkpoint_seconds": 0}
    with pytest.raises(KeyboardInterrupt):
        train_channels_last(on_epoch=interrupt_at(4), **options)
    messages = []
    net, resumed = train_channels_last(log=messages.append, **options)
    assert messages[0] == "resuming after epoch 3"
    assert_same_training(net, resumed, expected, uninterrupted)


@pytest.mark.parametrize("last_epoch", [3, 10])
def test_a_training_in_two_parts_is_resumed_in_the_one_it_was_in(
    train_two_parts, interrupt_at, assert_same_training, tmp_path, last_epoch
):
    expected, uninterrupted = train_two_parts(sample_monitor=SampleMonitor())
    assert [row["epoch"] for row in uninterrupted.history] == list(range(1, 15)), "seven epochs of each part, numbered on"
    assert "first_loss" in uninterrupted.history[6]
    assert "second_loss" in uninterrupted.history[7]

    options = {"checkpoint": tmp_path / "checkpoint.safetensors", "checkpoint_seconds": 0}
    with pytest.raises(KeyboardInterrupt):
        train_two_parts(on_epoch=interrupt_at(last_epoch), sample_monitor=SampleMonitor(), **options)
    epochs = []
    net, resumed = train_two_parts(
        on_epoch=lambda epoch, metrics: epochs.append(epoch), sample_monitor=SampleMonitor(), **options
    )
    assert epochs == list(range(1, 15))
    assert_same_training(net, resumed, expected, uninterrupted)
    taken = zip(uninterrupted.sample_monitor.taken, resumed.sample_monitor.taken, strict=True)
    for (epoch, samples), (resumed_epoch, resumed_samples) in taken:
        assert epoch == resumed_epoch
        assert torch.equal(samples, resumed_samples)


def test_a_checkpoint_of_another_training_is_ignored(train_classifier, tmp_path):
    checkpoint = tmp_path / "checkpoint.safetensors"
    train_classifier(Trainer(checkpoint=checkpoint, checkpoint_seconds=0, fingerprint="a"))
    messages = []
    again = Trainer(checkpoint=checkpoint, fingerprint="b", log=messages.append)
    train_classifier(again)
    assert len(again.history) == 10
    assert "starting anew" in messages[0]


# ---- val split ----


def test_best_parameters_on_val_are_kept_and_patience_ends_the_training(train_classifier, table):
    trainer = Trainer()
    net = train_classifier(trainer, steps=3000, patience=5)
    losses = [row["val_loss"] for row in trainer.history]
    best = losses.index(min(losses))
    assert len(losses) == best + 1 + 6 < 500, "it stops when five epochs in a row were not better, and one more was not either"
    with torch.inference_mode():
        assert float(net.loss(table.x_val, table.y_val)) == pytest.approx(min(losses), rel=1e-5)
    assert not net.training


def test_a_subset_of_a_learning_curve_is_not_validated_on_itself(new_classifier, table):
    net = new_classifier()
    trainer = Trainer()
    net.fit(TrainingData(table.spec, table.x, table.y, table.x, table.y), trainer, steps=12)
    assert trainer.history and all("val_loss" not in row for row in trainer.history)
    assert not net.training


# ---- one step ----


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_divergence_is_reported_with_loss_and_epoch(new_classifier, table, bad):
    net = new_classifier()
    calls = []

    def loss(x, y):
        calls.append(1)
        return net.loss(x, y) * (bad if len(calls) > 8 else 1)

    with pytest.raises(Diverged, match=r"loss is (nan|inf) in epoch 2 of 10"):
        Trainer().run(net, table, [Objective(loss, net.parameters(), 1e-2)], steps=60, batch=16)


@pytest.mark.parametrize(("supported", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_bfloat16_is_used_only_where_the_hardware_computes_it(new_classifier, table, supported, dtype, monkeypatch):
    monkeypatch.setattr("pofxy.training.trainer.supports_bfloat16", lambda device: supported)
    net = new_classifier()
    dtypes = []

    def loss(x, y):
        logits = net.layers(x)
        dtypes.append(logits.dtype)
        return F.cross_entropy(logits.float(), y)

    Trainer().run(net, table, [Objective(loss, net.parameters(), 1e-2)], steps=1, batch=96, bfloat16=True)
    assert dtypes == [dtype]


# ---- several objectives ----


def test_objectives_update_only_their_own_parameters(table):
    """Two objectives whose losses pass through both nets, one of them every third step."""
    first = nn.Linear(4, 4)
    second = nn.Linear(4, 2)
    both = nn.ModuleList([first, second])
    before = {name: tensor.clone() for name, tensor in both.state_dict().items()}
    steps = {"first": 0, "second": 0}
    ends = []

    def loss_of(name):
        def loss(x, y):
            steps[name] += 1
            return {"loss": F.cross_entropy(second(first(x)), y), "more": torch.tensor(float(steps[name]))}

        return loss

    trainer = Trainer()
    trainer.run(
        both,
        table,
        [
            Objective(loss_of("first"), first.parameters(), 0.0, name="first"),
            Objective(
                loss_of("second"),
                second.parameters(),
                1e-2,
                update_every=3,
                on_step_end=lambda: ends.append(dict(steps)),
                name="second",
            ),
        ],
        steps=6,
        batch=16,
    )
    assert steps == {"first": 6, "second": 2}
    assert ends == [{"first": 1, "second": 1}, {"first": 4, "second": 2}]
    assert torch.equal(first.weight, before["0.weight"])
    assert not torch.equal(second.weight, before["1.weight"])
    assert trainer.history[0]["first_more"] == pytest.approx(3.5)
    assert trainer.history[0]["second_more"] == pytest.approx(1.5)


def test_gradient_norms_of_two_objectives_are_recorded(table, train_classifier):
    first = nn.Linear(4, 1)
    second = nn.Linear(4, 1)
    both = nn.ModuleList([first, second])
    objectives = [
        Objective(lambda x, y: first(x).square().mean() * 7, first.parameters(), 0.0, name="first"),
        Objective(lambda x, y: second(x).square().mean(), second.parameters(), 0.0, name="second"),
    ]
    trainer = Trainer()
    trainer.run(both, table, objectives, steps=1, batch=96)
    loss = first(table.x).square().mean() * 7
    norm = torch.cat([grad.flatten() for grad in torch.autograd.grad(loss, list(first.parameters()))]).norm()
    assert trainer.history[0]["first_gradient_norm"] == pytest.approx(float(norm), rel=1e-5)
    assert trainer.history[0]["second_gradient_norm"] > 0
    single = Trainer()
    train_classifier(single)
    assert not any("gradient" in name for name in single.history[0])


# ---- samples during training ----


def test_samples_during_training_change_nothing_and_come_at_the_same_epochs(train_two_parts):
    plain, without = train_two_parts()
    monitored, trainer = train_two_parts(sample_monitor=SampleMonitor())
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, monitored.state_dict()[name]), name
    taken = trainer.sample_monitor.taken
    assert [epoch for epoch, _ in taken] == [1, 2, 4, 7, 8, 9, 11, 14]
    assert all(samples.shape == (10, 1, 8, 8) and samples.dtype == torch.uint8 for _, samples in taken)
    assert {row["epoch"] for row in trainer.history if "diversity" in row} == {1, 2, 4, 7, 8, 9, 11, 14}
    assert not any("diversity" in row for row in without.history)


# ---- progress ----


def test_progress_reports_the_time_that_is_left(train_classifier):
    lines = []
    train_classifier(Trainer(log=lines.append))
    assert "epoch 1/10" in lines[0]
    assert "epoch 10/10" in lines[-1]
    assert "left" in lines[-1]
    assert "val_loss" in lines[-1]
