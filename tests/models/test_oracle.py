"""A standing test of honesty: where the law of the data is known, no model scores better than it, beyond chance."""

import numpy as np
import pytest
import torch

from pofxy.base.data import TrainingData
from pofxy.base.hyperparameters import build_model
from pofxy.base.seeding import seed_everything
from pofxy.data.datasets import open_dataset
from pofxy.data.preprocess import spec, split
from pofxy.evaluation.context import EvaluationContext
from pofxy.evaluation.evaluate import scores
from pofxy.storage.models import load_spec, model_class
from pofxy.study import catalog
from pofxy.training.trainer import Trainer

torch.set_num_threads(1)
# So many standard errors of the paired difference are not by chance, for all models, scores and data sets together.
BEYOND_CHANCE = 4
BUDGET = {"steps": 150, "density_steps": 8, "n_estimators": 50, "max_iter": 30}
# Values per test image, and whether more is better.
SCORES = {"accuracy": 1, "log_loss": -1, "brier_score": -1, "bits_per_dim": -1, "log_density": 1}
ABLE = {"predict", "predict_proba", *catalog.DENSITY}


@pytest.fixture(scope="module", params=["gaussians", "known_images"])
def known(request, tmp_path_factory):
    """Train and test split and spec of a data set of known law, and what the oracle scores on the test images."""
    folder = tmp_path_factory.mktemp(request.param)
    dataset = open_dataset(request.param, {})
    dataset.download(folder, folder)
    images = dataset.read(folder)
    about = load_spec(spec(request.param, images))
    parts = split(images)
    x = torch.from_numpy(images.x).float() / (images.levels - 1) if images.levels else torch.from_numpy(images.x)
    train, val, test = ((x[parts[name]], torch.from_numpy(images.y[parts[name]])) for name in ("train", "val", "test"))
    data = TrainingData(about, *train, *val)
    return data, test, per_image("oracle", data, test)


def per_image(name, data, test):
    """The values of each score for each test image, by the score."""
    entry = catalog.models()[name]
    seed_everything(0)
    settings = {key: value for key, value in BUDGET.items() if key in entry.parameters}
    model = build_model(model_class(entry.family, name), settings)
    model.fit(data, Trainer())
    evidence = EvaluationContext(model, test, (data.x, data.y), data.spec)
    return scores(evidence, tuple(verb for verb in entry.capabilities if verb in ABLE), SCORES)[1]


def lead_of(values, best, score):
    """By how much values (N,) are better than the best possible on average, and the standard error of that."""
    lead = SCORES[score] * (values - best[score])
    return lead.mean(), lead.std(ddof=1) / np.sqrt(len(lead))


@pytest.mark.parametrize(
    "name",
    [name for name, entry in catalog.models().items() if ABLE & set(entry.capabilities) and not entry.needs_known_distribution],
)
def test_no_model_beats_the_law_itself(name, known):
    data, test, best = known
    entry = catalog.models()[name]
    if entry.images_only and data.spec.levels is None:
        pytest.skip("it takes no tables")
    found = per_image(name, data, test)
    assert found
    for score, values in found.items():
        lead, error = lead_of(values, best, score)
        assert lead <= BEYOND_CHANCE * error, f"{name} beats the truth in {score} by {lead:.4g} +- {error:.2g}"


def test_who_has_seen_the_test_images_is_found_out(known):
    data, (x, y), best = known
    cheating = TrainingData(data.spec, x, y, x, y)
    found = per_image("k_nearest_neighbors", cheating, (x, y))
    for score in ("accuracy", "log_loss", "brier_score"):
        lead, error = lead_of(found[score], best, score)
        assert lead > BEYOND_CHANCE * error, score
