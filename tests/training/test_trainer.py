"""The training loop: resume, early stopping, divergence, mixed precision, time limit."""

import json
import math
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.seeding import seed_everything
from pofxy.storage.models import StoreError, load_model, load_tree, save_model, save_tree, write_json
from pofxy.training.sample_monitor import SampleMonitor, collapsed_since
from pofxy.training.trainer import Diverged, Objective, Trainer, rate

torch.set_num_threads(1)


class Net(nn.Module):
    """A classifier of 4 numbers with dropout: its training draws random numbers in every step."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 2))

    def loss(self, x, y):
        return F.cross_entropy(self.layers(x).float(), y)

    def train_with(self, trainer, data, steps=60, **more):
        objective = Objective(self.loss, self.parameters(), 1e-2)
        trainer.run(self, data, [objective], steps=steps, batch=16, validate=self.loss, **more)


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(112, 4, generator=generator)
    y = (x[:, 0] > x[:, 1]).long()
    return TrainingData(DataSpec("made", (4,), 2, None, ("a", "b")), x[:96], y[:96], x[96:], y[96:])


@pytest.fixture(autouse=True)
def one_pass_an_epoch(monkeypatch):
    """The made data are so few that several passes would else make an epoch."""
    monkeypatch.setattr("pofxy.training.trainer.EPOCH_STEPS", 1)


def test_few_images_are_passed_several_times_an_epoch(data, monkeypatch):
    monkeypatch.setattr("pofxy.training.trainer.EPOCH_STEPS", 10)
    trainer = Trainer()
    train(data, trainer)  # 6 batches a pass, 60 steps
    assert [row["epoch"] for row in trainer.history] == [1, 2, 3, 4, 5]
    short = Trainer()
    train(data, short, steps=5)
    assert len(short.history) == 1, "a budget of a few steps stays one"


def train(data, trainer, **more):
    seed_everything(5)
    net = Net()
    net.train_with(trainer, data, **more)
    return net


def without_seconds(history):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


def test_a_resumed_training_is_the_undisturbed_one_bit_for_bit(data, tmp_path):
    undisturbed = Trainer()
    expected = train(data, undisturbed)

    class Interrupted(Exception):
        pass

    def interrupt(epoch, metrics):
        if epoch == 5:
            raise Interrupted

    checkpoint = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Interrupted):
        train(data, Trainer(checkpoint=checkpoint, checkpoint_seconds=0, on_epoch=interrupt, fingerprint="a"))
    heard = []
    resumed = Trainer(checkpoint=checkpoint, on_epoch=lambda epoch, metrics: heard.append(epoch), fingerprint="a")
    torch.manual_seed(999)  # what the global generators are at does not matter: the checkpoint has their state
    found = Net()
    found.train_with(resumed, data)
    assert without_seconds(resumed.history) == without_seconds(undisturbed.history)
    assert heard == list(range(1, 11))
    for name, tensor in expected.state_dict().items():
        assert torch.equal(tensor, found.state_dict()[name]), name


def test_a_checkpoint_of_another_training_is_ignored(data, tmp_path):
    checkpoint, said = tmp_path / "checkpoint.safetensors", []
    train(data, Trainer(checkpoint=checkpoint, checkpoint_seconds=0, fingerprint="a"))
    again = Trainer(checkpoint=checkpoint, fingerprint="b", log=said.append)
    train(data, again)
    assert len(again.history) == 10 and "starting anew" in said[0]


def test_best_parameters_on_val_are_kept_and_patience_ends_it(data):
    trainer = Trainer()
    net = train(data, trainer, steps=3000, patience=5)
    losses = [row["val_loss"] for row in trainer.history]
    best = losses.index(min(losses))
    assert len(losses) == best + 1 + 6 < 500, "it stops when five epochs in a row were not better, and one more was not either"
    with torch.inference_mode():
        assert float(net.loss(data.x_val, data.y_val)) == pytest.approx(min(losses), rel=1e-5)
    assert not net.training


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_divergence_is_said_with_loss_and_epoch(data, bad):
    net = Net()
    calls = []

    def loss(x, y):
        calls.append(1)
        return net.loss(x, y) * (bad if len(calls) > 8 else 1)

    with pytest.raises(Diverged, match=r"loss is (nan|inf) in epoch 2 of 10"):
        Trainer().run(net, data, [Objective(loss, net.parameters(), 1e-2)], steps=60, batch=16)


def test_bfloat16_reaches_the_loss_only_where_the_hardware_has_it(data, monkeypatch):
    seen = []
    for able in (True, False):
        monkeypatch.setattr("pofxy.training.trainer.multiplies_bfloat16", lambda device, able=able: able)
        net = Net()

        def loss(x, y, net=net):
            logits = net.layers(x)
            seen.append(logits.dtype)
            return F.cross_entropy(logits.float(), y)

        Trainer().run(net, data, [Objective(loss, net.parameters(), 1e-2)], steps=1, batch=96, bfloat16=True)
    assert seen == [torch.bfloat16, torch.float32]


def test_players_move_only_their_own_parameters(data):
    """Two objectives whose losses pass through both nets, one of them every third step."""
    first, second = nn.Linear(4, 4), nn.Linear(4, 2)
    both = nn.ModuleList([first, second])
    before = {name: tensor.clone() for name, tensor in both.state_dict().items()}
    steps = {"first": 0, "second": 0}

    def play(name):
        def loss(x, y):
            steps[name] += 1
            return {"loss": F.cross_entropy(second(first(x)), y), "more": torch.tensor(float(steps[name]))}

        return loss

    trainer = Trainer()
    trainer.run(
        both,
        data,
        [
            Objective(play("first"), first.parameters(), 0.0, name="first"),
            Objective(play("second"), second.parameters(), 1e-2, update_every=3, name="second"),
        ],
        steps=6,
        batch=16,
    )
    assert steps == {"first": 6, "second": 2}
    assert torch.equal(first.weight, before["0.weight"]) and not torch.equal(second.weight, before["1.weight"])
    assert trainer.history[0]["first_more"] == pytest.approx(3.5) and trainer.history[0]["second_more"] == pytest.approx(1.5)


def test_schedules_start_and_end_where_they_should():
    assert rate("constant", 0.7) == 1
    assert (rate("cosine", 0), rate("cosine", 1)) == (1, 0)
    assert rate("one_cycle", 0) == 0 and rate("one_cycle", 0.25) == 1
    assert rate("one_cycle", 1) == pytest.approx(0)
    with pytest.raises(ValueError, match="unknown schedule 'linear'"):
        rate("linear", 0)


def test_progress_says_what_is_left(data):
    said = []
    train(data, Trainer(log=said.append))
    assert "epoch 10/10" in said[-1] and "left" in said[-1] and "val_loss" in said[-1]


def test_torch_obeys_the_threads_of_its_job():
    code = "import torch; print(torch.get_num_threads())"
    for threads in ("1", "2"):
        found = subprocess.run(
            [sys.executable, "-c", code], env={"OMP_NUM_THREADS": threads, "PATH": ""}, capture_output=True, text=True
        )
        assert found.stdout.strip() == threads, found.stderr


JOB = """
import sys, time
sys.path.insert(0, sys.argv[1])
from types import SimpleNamespace
from pofxy.workflow.job import job, time_limit
folder = sys.argv[2]
snakemake = SimpleNamespace(output=[folder + "/out"], log=[folder + "/logs/work.log"], params=SimpleNamespace())
with job(snakemake, "work"), time_limit(0.3):
    print("started", flush=True)
    {work}
"""


@pytest.mark.parametrize(
    ("work", "status", "reason"),
    [
        ("raise ValueError('line one\\nline two')", "failed", "ValueError: line one line two"),
        ("time.sleep(60)", "timeout", "TimeLimitExceeded: not done after the time limit of 0.3 s"),
    ],
)
def test_a_job_fails_with_one_line_a_cause_and_a_traceback(work, status, reason, tmp_path):
    found = run_job(work, tmp_path)
    assert found.returncode == 1
    assert found.stderr.count("\n") == 1 and reason in found.stderr and "logs/work.log" in found.stderr
    cause = json.loads((tmp_path / "failure.json").read_text())
    assert (cause["status"], cause["reason"], cause["stage"]) == (status, reason, "work")
    assert "Traceback" in (tmp_path / "logs/work.log").read_text()


def test_a_job_that_succeeds_takes_back_its_earlier_failure(tmp_path):
    run_job("raise ValueError('x')", tmp_path)
    assert run_job("pass", tmp_path).returncode == 0
    assert not (tmp_path / "failure.json").exists()


def test_a_terminated_job_leaves_no_half_written_file_and_no_failure(tmp_path):
    work = (
        "from pofxy.storage import files\n    with files.atomic(folder + '/half') as path: path.write_text('x'); time.sleep(0.25)"
    )
    process = subprocess.Popen(job_command(work, tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "started\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 1
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []


def job_command(work, folder):
    scripts = next(path for path in sys.path if path.endswith("scripts"))
    return [sys.executable, "-c", JOB.replace("{work}", work), scripts, str(folder)]


def run_job(work, folder):
    return subprocess.run(job_command(work, folder), capture_output=True, text=True, timeout=60)


def test_trees_survive_a_round_trip(tmp_path):
    tree = {"a": [1, 2.5, None, True, "x"], 3: {"t": torch.arange(4), "shared": torch.zeros(2).expand(3, 2)}, "empty": {}}
    save_tree(tmp_path / "tree.safetensors", tree)
    found = load_tree(tmp_path / "tree.safetensors")
    assert found["a"] == tree["a"] and found["empty"] == {} and list(found) == list(tree)
    assert torch.equal(found[3]["t"], tree[3]["t"]) and torch.equal(found[3]["shared"], tree[3]["shared"])


def test_nothing_but_our_own_formats_is_loaded(tmp_path):
    """A pickle, a skops file with a foreign type, another format, a torn file: each is refused by its name, none is run."""
    import pickle

    import skops.io
    from sklearn.pipeline import FunctionTransformer

    net = Net()
    spec = {"name": "made", "shape": [4], "classes": 2, "levels": None, "class_names": ["a", "b"]}
    header = {"format": 1, "family": "discriminative", "of": "logistic_regression", "hyperparameters": {}, "spec": spec}

    class Evil:
        def __reduce__(self):
            return (print, ("executed",))

    for name, content in {"model.pkl": pickle.dumps(Evil()), "model.pt": b"x"}.items():
        folder = tmp_path / name
        write_json(folder / "model.json", header)
        (folder / name).write_bytes(content)
        with pytest.raises(StoreError, match="nothing else is loaded"):
            load_model(folder)

    for name, content in {"model.safetensors": pickle.dumps(Evil()), "model.skops": pickle.dumps(Evil())}.items():
        folder = tmp_path / f"disguised-{name}"
        write_json(folder / "model.json", header)
        (folder / name).write_bytes(content)
        with pytest.raises(StoreError, match=f"{name}: not a"):
            (load_tree(folder / name) if "safetensors" in name else load_model(folder))

    folder = tmp_path / "foreign"
    write_json(folder / "model.json", header)
    skops.io.dump(FunctionTransformer(func=subprocess.run), folder / "model.skops")
    with pytest.raises(StoreError, match=r"refused, it holds .*subprocess"):
        load_model(folder)

    write_json(folder / "model.json", header | {"format": 99})
    with pytest.raises(StoreError, match="not a pofxy model of format 1"):
        load_model(folder)

    with pytest.raises(StoreError, match="neither a torch module"):
        save_model(tmp_path / "other", SimpleNamespace(), "a", "b", {}, DataSpec("s", (4,), 2, None, ("a", "b")))
    assert not (tmp_path / "other").exists() and isinstance(net, nn.Module)


class Twice(nn.Module):
    """Two parts trained one after the other, the second on what the first one makes; it draws samples, too."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(64, 3), nn.Linear(3, 64)

    def fit(self, data, trainer):
        for name, part, loss in (("first", self.first, self.classes), ("second", self.second, self.images)):
            trainer.run(self, data, [Objective(loss, part.parameters(), 1e-2, name=name)], steps=40, batch=16)

    def classes(self, x, y):
        return F.cross_entropy(self.first(F.dropout(x.flatten(1), 0.2)), y)

    def images(self, x, y):
        return (self.second(self.first(x.flatten(1)).detach() + torch.randn(len(x), 3)).sigmoid() - x.flatten(1)).square().mean()

    def sample(self, n, labels=None):
        return self.second(torch.randn(n, 3)).sigmoid().view(n, 1, 8, 8)


@pytest.fixture
def images():
    x = torch.rand(96, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    y = torch.arange(96) % 3
    return TrainingData(DataSpec("made", (1, 8, 8), 3, 5, ("a", "b", "c")), x, y, x[:30], y[:30])


def train_twice(images, **more):
    seed_everything(5)
    net, trainer = Twice(), Trainer(**more)
    net.fit(images, trainer)
    return net, trainer


@pytest.mark.parametrize("when", [3, 10])
def test_a_training_in_two_parts_is_resumed_in_the_one_it_was_in(images, tmp_path, when):
    expected, undisturbed = train_twice(images, snapshots=SampleMonitor())
    assert [row["epoch"] for row in undisturbed.history] == list(range(1, 15)), "seven epochs of each part, numbered on"
    assert "first_loss" in undisturbed.history[6] and "second_loss" in undisturbed.history[7]

    def interrupt(epoch, metrics):
        if epoch == when:
            raise KeyboardInterrupt

    kept = {"checkpoint": tmp_path / "checkpoint.safetensors", "checkpoint_seconds": 0}
    with pytest.raises(KeyboardInterrupt):
        train_twice(images, on_epoch=interrupt, snapshots=SampleMonitor(), **kept)
    heard = []
    found, resumed = train_twice(images, on_epoch=lambda epoch, _: heard.append(epoch), snapshots=SampleMonitor(), **kept)
    assert heard == list(range(1, 15))
    assert without_seconds(resumed.history) == without_seconds(undisturbed.history)
    for name, tensor in expected.state_dict().items():
        assert torch.equal(tensor, found.state_dict()[name]), name
    for (epoch, images), (again, others) in zip(undisturbed.snapshots.taken, resumed.snapshots.taken, strict=True):
        assert epoch == again and torch.equal(images, others)


def test_samples_on_the_way_change_nothing_and_come_at_the_same_epochs(images):
    plain, without = train_twice(images)
    watched, trainer = train_twice(images, snapshots=SampleMonitor())
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, watched.state_dict()[name]), name
    assert [epoch for epoch, _ in trainer.snapshots.taken] == [1, 2, 4, 7, 8, 9, 11, 14]
    assert all(x.shape == (10, 1, 8, 8) and x.dtype == torch.uint8 for _, x in trainer.snapshots.taken)
    assert {row["epoch"] for row in trainer.history if "diversity" in row} == {1, 2, 4, 7, 8, 9, 11, 14}
    assert not any("diversity" in row for row in without.history)


class Drawing(nn.Module):
    """Draws given images, class by class."""

    conditional = True

    def __init__(self, x):
        super().__init__()
        self.x = x

    def sample(self, n, labels=None):
        return self.x(labels)


def test_diversity_is_one_of_real_images_and_none_of_one_image_per_class(images):
    def real(labels):
        return torch.stack([images.x[images.y == k][i] for i, k in enumerate(labels.tolist())])

    def same(labels):
        return torch.stack([images.x[images.y == k][0] for k in labels.tolist()])

    snapshots = SampleMonitor()
    assert snapshots.take(Drawing(real), images, 1)["diversity"] == pytest.approx(1, abs=0.15)
    assert snapshots.take(Drawing(same), images, 2)["diversity"] == 0, "each class has one image of its own, and no other"


def test_a_collapse_is_said_with_the_epoch_that_it_lasts_from():
    def history(*diversity):
        return [{"epoch": 10 * i} | ({"diversity": d} if d is not None else {}) for i, d in enumerate(diversity, 1)]

    assert collapsed_since(history(0.0, 0.4, None, 0.1, 0.05)) == 40
    assert collapsed_since(history(0.0, 0.1, 0.9, None)) is None, "samples that are alike at first are no collapse"
    assert collapsed_since(history(None)) is None


def test_gradient_norms_of_a_game_are_recorded_and_are_torchs_own(data):
    first, second = nn.Linear(4, 1), nn.Linear(4, 1)
    game = nn.ModuleList([first, second])
    objectives = [
        Objective(lambda x, y: first(x).square().mean() * 7, first.parameters(), 0.0, name="first"),
        Objective(lambda x, y: second(x).square().mean(), second.parameters(), 0.0, name="second"),
    ]
    trainer = Trainer()
    trainer.run(game, data, objectives, steps=1, batch=96)
    loss = first(data.x).square().mean() * 7
    norm = torch.cat([grad.flatten() for grad in torch.autograd.grad(loss, list(first.parameters()))]).norm()
    assert trainer.history[0]["first_gradient_norm"] == pytest.approx(float(norm), rel=1e-5)
    assert trainer.history[0]["second_gradient_norm"] > 0
    alone = Trainer()
    train(data, alone)
    assert not any("gradient" in name for name in alone.history[0])


def test_a_picture_of_the_way_has_few_rows_the_first_and_the_last_among_them():
    snapshots = SampleMonitor()
    for n, expected in ((0, []), (1, [0]), (6, [0, 1, 2, 3, 4, 5]), (17, [0, 2, 5, 7, 9, 11, 14, 16])):
        snapshots.taken[:] = [(epoch, torch.zeros(1)) for epoch in range(n)]
        assert [epoch for epoch, _ in snapshots.shown] == expected
