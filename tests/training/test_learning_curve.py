"""The learning curve: which subsets, which steps, what is written, and what a model may refuse."""

from types import SimpleNamespace

import pytest
import torch
from sklearn.datasets import load_digits

from pofxy.base.data import DataSpec, TrainingData, check_data, validation_splits
from pofxy.storage import files
from pofxy.study import catalog, columns, plan
from pofxy.study.run import Run
from pofxy.training import learning_curve
from pofxy.training.learning_curve import Outputs, Subsets, learn

torch.set_num_threads(1)
Y = torch.tensor([0] * 50 + [1] * 30 + [2] * 12)[torch.randperm(92, generator=torch.Generator().manual_seed(0))]


def test_subsets_are_balanced_nested_and_the_same_for_every_model():
    subsets = Subsets((5, 1, 12, 13), draws=3)
    drawn = {(draw, size): index for draw, size, index in subsets.draw(Y, 3)}
    assert set(drawn) == {(draw, size) for draw in range(3) for size in (1, 5, 12)}, "no class has 13 images but two"
    for (draw, size), index in drawn.items():
        assert torch.bincount(Y[index], minlength=3).tolist() == [size] * 3 and len(index.unique()) == len(index)
        assert set(drawn[draw, 1].tolist()) <= set(index.tolist())
    assert set(drawn[0, 5].tolist()) != set(drawn[1, 5].tolist())
    again = {(draw, size): index for draw, size, index in Subsets((5,), draws=2, steps=3).draw(Y, 3)}
    assert all(torch.equal(index, drawn[key]) for key, index in again.items())


def test_steps_grow_with_the_subset_and_never_beyond_the_models_own():
    subsets, settings = Subsets((1,), 1, steps=80, passes=20), {"steps": 300, "batch": 64, "width": 2}
    assert [subsets.limited(settings, n)["steps"] for n in (3, 64, 640, 100_000)] == [80, 80, 200, 300]
    assert subsets.limited(settings, 3)["width"] == 2
    assert Subsets((1,), 1).limited({"neighbors": 5}, 3) == {"neighbors": 5}


def curve(of, folder, subsets, family="discriminative", **hyperparameters):
    digits = load_digits()
    x, y = torch.from_numpy(digits.images[:, None] / 16).float(), torch.from_numpy(digits.target).long()
    spec = DataSpec("made", (1, 8, 8), 10, 17, tuple("0123456789"))
    run = Run("made", of, of, family, 0, catalog.models()[of].capabilities)
    heard = []
    learn(
        run,
        hyperparameters,
        spec,
        (x[:600], y[:600]),
        (x[600:800], y[600:800]),
        subsets,
        60,
        Outputs(str(folder / "curve.csv"), str(folder / "learn.json")),
        SimpleNamespace(metrics=lambda values, step: heard.append((step, values["learning/accuracy"]))),
    )
    return files.read_csv(folder / "curve.csv"), files.read_json(folder / "learn.json"), heard


@pytest.mark.parametrize("of", ["logistic_regression", "mlp", "lenet"])
def test_a_curve_has_a_row_for_each_subset_and_rises(of, tmp_path):
    subsets = Subsets((1, 20), draws=2, steps=100 if of != "logistic_regression" else None)
    rows, note, heard = curve(of, tmp_path, subsets)
    assert [(row["draw"], row["at"]) for row in rows] == [("0", "1"), ("0", "20"), ("1", "1"), ("1", "20")]
    assert tuple(rows[0]) == columns.CURVES and {row["n"] for row in rows} == {"200"}
    mean = {at: sum(float(row["value"]) for row in rows if row["at"] == at) / 2 for at in ("1", "20")}
    assert mean["20"] > max(mean["1"] + 0.1, 0.8)
    assert [step for step, _ in heard] == [1, 20] and heard[1][1] == pytest.approx(mean["20"])
    assert note["learn_core_seconds"] > 0 and note["refused"] == []


def test_what_a_model_refuses_is_left_out_and_noted(tmp_path, monkeypatch):
    model_class = learning_curve.store.model_class("discriminative", "logistic_regression")
    fit = model_class.fit

    def picky(self, data, trainer):
        if len(data.x) < 100:
            raise ValueError("made: ten images of each class are needed")
        fit(self, data, trainer)

    monkeypatch.setattr(model_class, "fit", picky)
    rows, note, _ = curve("logistic_regression", tmp_path, Subsets((1, 10), draws=2))
    assert [row["at"] for row in rows] == ["10", "10"]
    assert note["refused"] == ["1 images per class: made: ten images of each class are needed"] * 2
    with pytest.raises(ValueError, match="no subset could be learned from; 1 images per class: made: ten images"):
        curve("logistic_regression", tmp_path, Subsets((1, 5), draws=2))


def test_no_label_beyond_the_subset_is_seen(tmp_path, monkeypatch):
    seen = []
    model_class = learning_curve.store.model_class("discriminative", "k_nearest_neighbors")
    fit = model_class.fit

    def noting(self, data, trainer):
        check_data(data)
        seen.append((len(data.x), len(data.x_val), torch.equal(data.x, data.x_val) and torch.equal(data.y, data.y_val)))
        fit(self, data, trainer)

    monkeypatch.setattr(model_class, "fit", noting)
    curve("k_nearest_neighbors", tmp_path, Subsets((1, 2), draws=1))
    assert seen == [(10, 10, True), (20, 20, True)]


CONFIG = {"datasets": ["digits"], "models": "all", "seeds": [4, 5], "settings": {"deep": {"of": "lenet", "steps": 9}}}


def who(**given):
    config = CONFIG | {"learning_curve": given}
    return {(run.model, run.seed) for run in plan.runs(config) if plan.learns(config, run)}


def test_all_that_fit_quickly_learn_by_default_and_others_by_config():
    quick = who()
    assert {seed for _, seed in quick} == {4}
    able = {name: entry for name, entry in catalog.models().items() if "predict" in entry.capabilities}
    classifiers = {name for name, entry in able.items() if entry.family in ("discriminative", "generative")}
    slow = {name for name in classifiers if able[name].family == "generative" and "steps" in able[name].parameters}
    assert {model for model, _ in quick} == classifiers - slow | {"deep"}
    assert {model for model, _ in who(models="all")} == classifiers | {"deep"}
    assert who(models=["lenet", "gaussian_naive_bayes"]) == {("lenet", 4), ("gaussian_naive_bayes", 4)}
    assert who(models=[]) == set()


def test_the_config_says_how():
    runs = {run.model: run for run in plan.runs(CONFIG)}
    assert plan.subsets(CONFIG, runs["linear_svm"]) == {
        "sizes": [1, 2, 5, 10, 20, 50, 100],
        "draws": 5,
        "steps": None,
        "passes": 20,
    }
    assert plan.subsets(CONFIG, runs["deep"])["draws"] == 3 and plan.subsets(CONFIG, runs["deep"])["steps"] == 80
    other = CONFIG | {"learning_curve": {"sizes": [3], "deep_draws": 2, "deep_steps": 7, "deep_passes": 1}}
    assert plan.subsets(other, runs["deep"]) == {"sizes": [3], "draws": 2, "steps": 7, "passes": 1}


def test_settings_are_chosen_on_val_and_on_a_subset_by_its_folds():
    spec = DataSpec("made", (2,), 3, None, tuple("abc"))
    x, y = torch.arange(44.0).view(22, 2), torch.tensor([0] * 4 + [2] * 10 + [1] * 8)
    apart = TrainingData(spec, x, y, x[:5], y[:5])
    assert validation_splits(apart) == [apart]
    parts = validation_splits(TrainingData(spec, x, y, x, y))
    assert len(parts) == 4, "no class has more images than folds"
    assert sorted(torch.cat([part.x_val[:, 0] for part in parts]).tolist()) == x[:, 0].tolist(), "each image is held out once"
    for part in parts:
        assert not set(part.x[:, 0].tolist()) & set(part.x_val[:, 0].tolist())
        assert len(part.x) + len(part.x_val) == 22 and torch.bincount(part.y_val, minlength=3).min() >= 1
        for row, label in zip(part.x, part.y):
            assert y[int(row[0]) // 2] == label
    few = x[:4], torch.tensor([0, 1, 2, 2])
    assert validation_splits(TrainingData(spec, *few, *few)) == [], "an only image cannot be held out"
