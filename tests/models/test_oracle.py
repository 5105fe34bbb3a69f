"""Where the distribution of the data is known, no model may score better than that distribution, up to chance."""

import numpy as np
import pytest
import torch

from pofxy.base.data import TrainingData
from pofxy.base.hyperparameters import build_model
from pofxy.base.seeding import seed_everything
from pofxy.data.datasets import open_dataset
from pofxy.data.preprocess import spec, split
from pofxy.evaluation.facts import Facts
from pofxy.evaluation.graph import Graph
from pofxy.evaluation.scores import measure_scores
from pofxy.storage.models import load_spec, model_class
from pofxy.study import catalog
from pofxy.training.trainer import Trainer

torch.set_num_threads(1)
# Largest lead by chance, in standard errors of the paired difference, over all models, scores and data sets together.
MAX_STANDARD_ERRORS = 4
BUDGET = {"steps": 150, "density_steps": 8, "n_estimators": 50, "max_iter": 30}
# Scores per test image: 1 where higher is better, -1 where lower is.
SCORES = {"accuracy": 1, "log_loss": -1, "brier_score": -1, "bits_per_dim": -1, "log_density": 1}
CAPABILITIES = {"predict", "predict_proba", "log_prob", "log_weight", "log_prob_bound", "log_unnormalized"}


@pytest.fixture(scope="module", params=["gaussians", "known_images"])
def known(request, tmp_path_factory):
    """The splits of a data set with a known distribution, and the oracle's scores on the test images."""
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
    """Values for each test image by the name of the score, (N,) each."""
    entry = catalog.models()[name]
    seed_everything(0)
    settings = {key: value for key, value in BUDGET.items() if key in entry.parameters}
    model = build_model(model_class(entry.family, name), settings)
    model.fit(data, Trainer())
    x, y = test
    facts = Facts.of(model=model, spec=data.spec, x=x, y=y, x_train=data.x, y_train=data.y)
    able = tuple(capability for capability in entry.capabilities if capability in CAPABILITIES)
    return measure_scores(Graph(facts, able), SCORES).per_image


def lead_of(values, best, score):
    """By how much values (N,) are better on average than the best possible ones, and the standard error of that."""
    lead = SCORES[score] * (values - best[score])
    return lead.mean(), lead.std(ddof=1) / np.sqrt(len(lead))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        name
        for name, entry in catalog.models().items()
        if CAPABILITIES & set(entry.capabilities) and not entry.tags.needs_known_distribution
    ],
)
def test_no_model_beats_the_true_distribution(name, known):
    data, test, best = known
    entry = catalog.models()[name]
    if entry.tags.images_only and data.spec.levels is None:
        pytest.skip("the model takes no tables")
    values_by_score = per_image(name, data, test)
    assert values_by_score
    for score, values in values_by_score.items():
        lead, error = lead_of(values, best, score)
        assert lead <= MAX_STANDARD_ERRORS * error, f"{name} beats the true distribution in {score} by {lead:.4g} +- {error:.2g}"


def test_a_model_fitted_to_the_test_images_is_detected(known):
    data, (x, y), best = known
    cheating = TrainingData(data.spec, x, y, x, y)
    values_by_score = per_image("k_nearest_neighbors", cheating, (x, y))
    for score in ("accuracy", "log_loss", "brier_score"):
        lead, error = lead_of(values_by_score[score], best, score)
        assert lead > MAX_STANDARD_ERRORS * error, score
