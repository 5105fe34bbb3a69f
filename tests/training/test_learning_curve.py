"""The learning curve: which subsets, how many steps, what is written, and what a model may refuse."""

from types import SimpleNamespace

import pytest
import torch
from sklearn.datasets import load_digits

from pofxy.base import passes
from pofxy.base.data import DataSpec, TrainingData, check_data, validation_splits
from pofxy.storage import files
from pofxy.storage.models import model_class
from pofxy.study import catalog, columns, plan
from pofxy.study.run import Run
from pofxy.training.learning_curve import Outputs, Subsets, learn

CONFIG = {"datasets": ["digits"], "models": "all", "seeds": [4, 5], "settings": {"deep": {"of": "lenet", "steps": 9}}}


@pytest.fixture
def labels():
    """Labels of three classes, the smallest of which has 12 images."""
    y = torch.tensor([0] * 50 + [1] * 30 + [2] * 12)
    return y[torch.randperm(92, generator=torch.Generator().manual_seed(0))]


@pytest.fixture(scope="module")
def digits():
    """Images (N, 1, 8, 8) in [0, 1] and their labels."""
    data = load_digits()
    return torch.from_numpy(data.images[:, None] / 16).float(), torch.from_numpy(data.target).long()


@pytest.fixture
def learning_curve(digits, tmp_path):
    """Makes the learning curve of a discriminative model: its rows, its costs, and the (size, accuracy) of the tracker."""

    def make(of, subsets):
        x, y = digits
        tracked = []
        outputs = Outputs(str(tmp_path / "curve.csv"), str(tmp_path / "learn.json"))
        learn(
            Run("made", of, of, "discriminative", 0, catalog.models()[of].capabilities),
            {},
            DataSpec("made", (1, 8, 8), 10, 17, tuple("0123456789")),
            (x[:600], y[:600]),
            (x[600:800], y[600:800]),
            subsets,
            60,
            outputs,
            SimpleNamespace(metrics=lambda values, step: tracked.append((step, values["learning/accuracy"]))),
        )
        return files.read_csv(outputs.curve), files.read_json(outputs.cost), tracked

    return make


@pytest.fixture
def before_fit(monkeypatch):
    """Has a function called with the data before each fit of a discriminative model."""

    def install(of, function):
        cls = model_class("discriminative", of)
        fit = cls.fit

        def fit_after_call(self, data, trainer):
            function(data)
            fit(self, data, trainer)

        monkeypatch.setattr(cls, "fit", fit_after_call)

    return install


@pytest.fixture
def learners():
    """Gives the (model, seed) that have a learning curve under a config's `learning_curve`."""

    def names(**learning_curve):
        config = CONFIG | {"learning_curve": learning_curve}
        return {(run.model, run.seed) for run in plan.runs(config) if plan.learns(config, run)}

    return names


# ---- subsets ----


def test_subsets_are_balanced_nested_and_the_same_for_every_model(labels):
    indices = {(draw, size): index for draw, size, index in Subsets((5, 1, 12, 13), draws=3).sample(labels, 3)}
    assert set(indices) == {(draw, size) for draw in range(3) for size in (1, 5, 12)}, "one class has no 13 images"
    for (draw, size), index in indices.items():
        assert torch.bincount(labels[index], minlength=3).tolist() == [size] * 3
        assert len(index.unique()) == len(index)
        assert set(indices[draw, 1].tolist()) <= set(index.tolist())
    assert set(indices[0, 5].tolist()) != set(indices[1, 5].tolist())
    again = {(draw, size): index for draw, size, index in Subsets((5,), draws=2, steps=3).sample(labels, 3)}
    assert all(torch.equal(index, indices[key]) for key, index in again.items())


def test_steps_grow_with_the_subset_and_never_beyond_the_models_own():
    subsets = Subsets((1,), 1, steps=80, passes=20)
    settings = {"steps": 300, "batch": 64, "width": 2}
    assert [subsets.limit_steps(settings, n)["steps"] for n in (3, 64, 640, 100_000)] == [80, 80, 200, 300]
    assert subsets.limit_steps(settings, 3)["width"] == 2
    assert Subsets((1,), 1).limit_steps({"n_neighbors": 5}, 3) == {"n_neighbors": 5}


# ---- fits ----


@pytest.mark.slow
@pytest.mark.parametrize("of", ["logistic_regression", "mlp", "lenet"])
def test_a_curve_has_a_row_for_each_subset_and_rises(of, learning_curve):
    subsets = Subsets((1, 20), draws=2, steps=100 if of != "logistic_regression" else None)
    rows, costs, tracked = learning_curve(of, subsets)
    assert [(row["draw"], row["at"]) for row in rows] == [("0", "1"), ("0", "20"), ("1", "1"), ("1", "20")]
    assert tuple(rows[0]) == columns.CURVES
    assert {row["n"] for row in rows} == {"200"}
    mean = {at: sum(float(row["value"]) for row in rows if row["at"] == at) / 2 for at in ("1", "20")}
    assert mean["20"] > max(mean["1"] + 0.1, 0.8)
    assert [step for step, _ in tracked] == [1, 20]
    assert tracked[1][1] == pytest.approx(mean["20"])
    assert costs["learn_core_seconds"] > 0
    assert costs["refused"] == []


def test_a_model_of_many_passes_is_scored_on_fewer_images(learning_curve, monkeypatch):
    monkeypatch.setattr(passes, "MIN_LIKELIHOOD_IMAGES", 50)
    monkeypatch.setattr(passes, "LIKELIHOOD_PASSES", 70)
    rows, _, _ = learning_curve("linear_regression", Subsets((5,), draws=1))
    assert [row["n"] for row in rows] == ["70"]
    monkeypatch.setattr("pofxy.training.learning_curve.prediction_passes", lambda *_: 10)
    rows, _, _ = learning_curve("linear_regression", Subsets((5,), draws=1))
    assert [row["n"] for row in rows] == ["50"]


def test_what_a_model_refuses_is_left_out_and_noted(learning_curve, before_fit):
    def refuse_small(data):
        if len(data.x) < 100:
            raise ValueError("made: ten images of each class are needed")

    before_fit("logistic_regression", refuse_small)
    rows, costs, _ = learning_curve("logistic_regression", Subsets((1, 10), draws=2))
    assert [row["at"] for row in rows] == ["10", "10"]
    assert costs["refused"] == ["1 images per class: made: ten images of each class are needed"] * 2
    with pytest.raises(ValueError, match="no subset could be learned from; 1 images per class: made: ten images"):
        learning_curve("logistic_regression", Subsets((1, 5), draws=2))


def test_no_label_beyond_the_subset_is_used(learning_curve, before_fit):
    seen = []

    def note(data):
        check_data(data)
        seen.append((len(data.x), len(data.x_val), torch.equal(data.x, data.x_val) and torch.equal(data.y, data.y_val)))

    before_fit("k_nearest_neighbors", note)
    learning_curve("k_nearest_neighbors", Subsets((1, 2), draws=1))
    assert seen == [(10, 10, True), (20, 20, True)]


# ---- config ----


def test_models_that_fit_quickly_have_a_curve_by_default_and_others_by_config(learners):
    by_default = learners()
    assert {seed for _, seed in by_default} == {4}
    entries = {name: entry for name, entry in catalog.models().items() if "predict" in entry.capabilities}
    classifiers = {name for name, entry in entries.items() if entry.family in ("discriminative", "generative")}
    slow = {name for name in classifiers if entries[name].family == "generative" and "steps" in entries[name].parameters}
    assert {model for model, _ in by_default} == classifiers - slow | {"deep"}
    assert {model for model, _ in learners(models="all")} == classifiers | {"deep"}
    assert learners(models=["lenet", "gaussian_naive_bayes"]) == {("lenet", 4), ("gaussian_naive_bayes", 4)}
    assert learners(models=[]) == set()


def test_sizes_draws_and_steps_come_from_the_config():
    runs = {run.model: run for run in plan.runs(CONFIG)}
    assert plan.subsets(CONFIG, runs["linear_svm"]) == {
        "sizes": [1, 2, 5, 10, 20, 50, 100],
        "draws": 5,
        "steps": None,
        "passes": 20,
    }
    assert plan.subsets(CONFIG, runs["deep"])["draws"] == 3
    assert plan.subsets(CONFIG, runs["deep"])["steps"] == 80
    other = CONFIG | {"learning_curve": {"sizes": [3], "deep_draws": 2, "deep_steps": 7, "deep_passes": 1}}
    assert plan.subsets(other, runs["deep"]) == {"sizes": [3], "draws": 2, "steps": 7, "passes": 1}


# ---- the val split of a subset ----


def test_settings_are_selected_on_val_and_on_a_subset_by_its_folds():
    spec = DataSpec("made", (2,), 3, None, tuple("abc"))
    x = torch.arange(44.0).view(22, 2)
    y = torch.tensor([0] * 4 + [2] * 10 + [1] * 8)
    with_val = TrainingData(spec, x, y, x[:5], y[:5])
    assert validation_splits(with_val) == [with_val]
    parts = validation_splits(TrainingData(spec, x, y, x, y))
    assert len(parts) == 4, "each fold has an image of every class"
    assert sorted(torch.cat([part.x_val[:, 0] for part in parts]).tolist()) == x[:, 0].tolist(), "each image is held out once"
    for part in parts:
        assert not set(part.x[:, 0].tolist()) & set(part.x_val[:, 0].tolist())
        assert len(part.x) + len(part.x_val) == 22
        assert torch.bincount(part.y_val, minlength=3).min() >= 1
        for row, label in zip(part.x, part.y):
            assert y[int(row[0]) // 2] == label
    few = x[:4], torch.tensor([0, 1, 2, 2])
    assert validation_splits(TrainingData(spec, *few, *few)) == [], "the only image of a class cannot be held out"
