"""scripts/draw.py: images of a fitted model on demand."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.seeding import seed_everything
from pofxy.sampling import generate
from pofxy.storage.models import model_class, save_model
from pofxy.study import catalog
from pofxy.training.trainer import Trainer

torch.set_num_threads(1)
SCRIPT = Path(__file__).parents[2] / "scripts/draw.py"
NAMES = tuple("0123456789")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of runs: class k of the made images has row k white. DALL-E is built alone: how well it draws is another test's."""
    folder = tmp_path_factory.mktemp("runs")
    y = torch.arange(200) % 10
    x = torch.randint(0, 3, (200, 1, 10, 10), generator=torch.Generator().manual_seed(0)) / 16
    x[torch.arange(200), :, y] = 1.0
    images = TrainingData(DataSpec("made", (1, 10, 10), 10, 17, NAMES), x, y, x[:20], y[:20])
    rows = x.flatten(1)[:, :3]
    table = TrainingData(DataSpec("table", (3,), 10, None, NAMES), rows, y, rows[:20], y[:20])
    for place, name, data in (
        ("gaussian_naive_bayes", "gaussian_naive_bayes", images),
        ("linear_regression", "linear_regression", images),
        ("independent_pixels", "independent_pixels", images),
        ("rows", "gaussian_naive_bayes", table),
    ):
        entry = catalog.models()[name]
        seed_everything(0)
        model = model_class(entry.family, name)()
        model.fit(data, Trainer())
        save_model(folder / place / "model", model, entry.family, name, {}, data.spec)
    seed_everything(0)
    model = model_class("generative", "dalle")()
    model.build(images.spec)
    save_model(folder / "dalle" / "model", model, "generative", "dalle", {}, images.spec)
    return folder


def test_a_class_is_drawn_by_its_name(runs, tmp_path):
    said = generate.draw(str(runs / "gaussian_naive_bayes"), str(tmp_path / "a.png"), label="3", count=12)
    assert said == f"{tmp_path / 'a.png'}: class 3, 12 by GaussianNaiveBayes, seed 0"
    picture = np.asarray(Image.open(tmp_path / "a.png").convert("L")).astype(float)
    scale = round(generate.TOGETHER / 10)
    # A white line and the first image: its fourth row of pixels is the brightest.
    first = picture[2 : 2 + 10 * scale, 2 : 2 + 10 * scale].reshape(10, scale, -1).mean((1, 2))
    assert first.argmax() == 3 and picture.shape == (2 * (10 * scale + 2) + 2, 10 * (10 * scale + 2) + 2)


def test_the_seed_decides_and_one_image_fills_the_picture(runs, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        generate.draw(str(runs / "gaussian_naive_bayes"), str(tmp_path / f"{name}.png"), seed=seed)
    a, b, c = (np.asarray(Image.open(tmp_path / f"{name}.png")) for name in "abc")
    assert np.array_equal(a, b) and not np.array_equal(a, c) and a.shape == (224, 224)


def test_a_prompt_is_drawn_as_a_new_user_types_it(runs, tmp_path):
    command = [sys.executable, SCRIPT, "--run", runs / "dalle", "--text", "a handwritten three", "--out", "three.png"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stdout == "three.png: 'a handwritten three', 1 by DALLE, seed 0\n", done.stderr
    assert Image.open(tmp_path / "three.png").size == (224, 224)


@pytest.mark.parametrize(
    ("run", "asked", "message"),
    [
        ("gaussian_naive_bayes", {"label": "33"}, "--label: no class '33'; did you mean '3'?"),
        ("gaussian_naive_bayes", {"label": "cat"}, "--label: no class 'cat'; there is: 0, 1"),
        ("gaussian_naive_bayes", {"text": "a three"}, "--text: GaussianNaiveBayes draws from no text; dalle does"),
        ("gaussian_naive_bayes", {"count": 0}, "--count 0: at least one image"),
        ("linear_regression", {}, "linear_regression: LinearRegression has no samples to give"),
        ("independent_pixels", {"label": "3"}, "--label: IndependentPixels draws from all classes alike"),
        ("rows", {"label": "3"}, "rows: GaussianNaiveBayes was fitted to a table"),
        ("nowhere", {}, "nowhere: no model in it; a run's folder is results/runs/{dataset}/{model}/seed{seed}"),
        ("dalle", {"text": "qwertz"}, "qwertz"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_one_line_and_nothing_is_written(run, asked, message, runs, tmp_path):
    with pytest.raises(ValueError) as error:  # noqa: PT011 (the message is looked at below)
        generate.draw(str(runs / run), str(tmp_path / "a.png"), **asked)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "a.png").exists()


def test_the_script_says_it_and_fails(runs, tmp_path):
    command = [sys.executable, SCRIPT, "--run", runs / "independent_pixels", "--label", "3", "--out", "a.png"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and done.stderr.startswith("pofxy: --label: IndependentPixels") and done.stderr.count("\n") == 1
