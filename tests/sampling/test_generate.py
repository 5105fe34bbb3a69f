"""scripts/draw.py: images of a fitted model on demand."""

import os
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

ROOT = Path(__file__).parents[2]
NAMES = tuple("0123456789")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of runs. Class k of the made images has row k white. DALL-E is built, not fitted: its quality is another test's."""
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


@pytest.fixture
def run_script(tmp_path):
    """Runs scripts/draw.py in tmp_path, with the package of this checkout, and gives the finished process."""

    def run(*arguments):
        command = [sys.executable, ROOT / "scripts/draw.py", *arguments]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)

    return run


def test_images_of_a_class_are_generated_by_its_name(runs, tmp_path):
    message = generate.generate(str(runs / "gaussian_naive_bayes"), str(tmp_path / "a.png"), label="3", count=12)
    assert message == f"{tmp_path / 'a.png'}: class 3, 12 by GaussianNaiveBayes, seed 0"
    picture = np.asarray(Image.open(tmp_path / "a.png").convert("L")).astype(float)
    scale = round(generate.GRID_SIZE / 10)
    # A white line and the first image: its fourth row of pixels is the brightest.
    first = picture[2 : 2 + 10 * scale, 2 : 2 + 10 * scale].reshape(10, scale, -1).mean((1, 2))
    assert first.argmax() == 3
    assert picture.shape == (2 * (10 * scale + 2) + 2, 10 * (10 * scale + 2) + 2)


def test_the_seed_decides_and_a_single_image_fills_the_picture(runs, tmp_path):
    pictures = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        path = tmp_path / f"{name}.png"
        generate.generate(str(runs / "gaussian_naive_bayes"), str(path), seed=seed)
        pictures.append(np.asarray(Image.open(path)))
    assert np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])
    assert pictures[0].shape == (224, 224)


@pytest.mark.parametrize(
    ("run", "arguments", "message"),
    [
        ("gaussian_naive_bayes", {"label": "33"}, "--label: no class '33'; did you mean '3'?"),
        ("gaussian_naive_bayes", {"label": "cat"}, "--label: no class 'cat'; there is: 0, 1"),
        ("gaussian_naive_bayes", {"text": "a three"}, "--text: GaussianNaiveBayes is no text-to-image model; dalle is one"),
        ("gaussian_naive_bayes", {"count": 0}, "--count 0: at least one image"),
        ("linear_regression", {}, "linear_regression: LinearRegression cannot be sampled"),
        ("independent_pixels", {"label": "3"}, "--label: IndependentPixels is an unconditional model"),
        ("rows", {"label": "3"}, "rows: GaussianNaiveBayes was fitted to a table"),
        ("nowhere", {}, "nowhere: no model in it; a run's folder is results/runs/{dataset}/{model}/seed{seed}"),
        ("dalle", {"text": "qwertz"}, "qwertz"),
    ],
)
def test_what_cannot_be_generated_is_refused_in_one_line_and_nothing_is_written(run, arguments, message, runs, tmp_path):
    with pytest.raises(ValueError) as error:  # noqa: PT011 (the message is compared below)
        generate.generate(str(runs / run), str(tmp_path / "a.png"), **arguments)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "a.png").exists()


# ---- the script ----


@pytest.mark.slow
def test_the_script_takes_a_prompt_as_the_readme_shows_it(runs, run_script, tmp_path):
    process = run_script("--run", runs / "dalle", "--text", "a handwritten three", "--out", "three.png")
    assert process.stdout == "three.png: 'a handwritten three', 1 by DALLE, seed 0\n", process.stderr
    assert Image.open(tmp_path / "three.png").size == (224, 224)


@pytest.mark.slow
def test_the_script_fails_with_one_line(runs, run_script):
    process = run_script("--run", runs / "independent_pixels", "--label", "3", "--out", "a.png")
    assert process.returncode == 1
    assert process.stderr.startswith("pofxy: --label: IndependentPixels")
    assert process.stderr.count("\n") == 1
