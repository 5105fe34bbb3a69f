"""What the tests of the contract of all models share: the models, small data, small budgets, and fits that are done once."""

from copy import deepcopy
from functools import cache

import numpy as np
import pytest
import torch

from pofxy.base.calibration import calibrated
from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.hyperparameters import build_model
from pofxy.base.seeding import seed_everything
from pofxy.base.tags import tags_of
from pofxy.data.known_distributions import open_distribution
from pofxy.storage.models import model_class
from pofxy.study import catalog
from pofxy.training.trainer import Trainer

# As in the workflow: one thread a job, many jobs at once.
torch.set_num_threads(1)
MODELS = catalog.models()
# Few steps, and an exponential moving average with a short memory: enough for shapes and for losses that fall.
SMALL = {"steps": 12, "batch": 20, "ema_decay": 0.9, "n_estimators": 20, "max_iter": 20, "min_samples_leaf": 1}
WITH_STEPS = [name for name, entry in MODELS.items() if "steps" in entry.parameters]
DISCRIMINATIVE = [name for name, entry in MODELS.items() if entry.family == "discriminative"]
THREE_PIXELS = (1, 1, 3)


def specification(shape=(1, 8, 8), levels=5, classes=3):
    return DataSpec("made", shape, classes, levels, tuple("abc"[:classes]))


def table_specification(columns, classes):
    return DataSpec("table", (columns,), classes, None, tuple("abc"[:classes]))


def made_data(spec, n=60, n_val=30, seed=1, grain=None):
    """Images with a visible class: each class is brighter in a band of its own; gray levels of the spec.

    The rest of an image is noise, of the shape `grain` if it is given: (1, 1, 1) is one gray level for all pixels of an image.
    """
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n + n_val) % spec.classes
    noise = torch.rand(n + n_val, *(grain or spec.shape), generator=generator) * 0.4
    x = noise.expand(-1, *spec.shape).clone()
    for k in range(spec.classes):
        x[y == k, ..., 2 * k : 2 * k + 2] += 0.6
    x = (x * (spec.levels - 1)).round() / (spec.levels - 1)
    return TrainingData(spec, x[:n], y[:n], x[n:], y[n:])


def known_data(n=60, n_val=30):
    """Data whose distribution is known, for the model that needs them."""
    distribution = {"of": "known_images"}
    x, y = (torch.from_numpy(part) for part in open_distribution(distribution).sample(n + n_val, np.random.default_rng(1)))
    spec = DataSpec("made", (1, 8, 8), 4, 17, tuple("abcd"), distribution=distribution)
    return TrainingData(spec, x[:n], y[:n], x[n:], y[n:])


def small(entry, **more):
    """The model with the smallest budget that it takes."""
    return build_model(model_class(entry.family, entry.name), budget(entry, **more))


def budget(entry, **more):
    return {name: value for name, value in (SMALL | more).items() if name in entry.parameters}


def fitted(entry, data, trainer=None, **more):
    # To separate the classes, a conditional model needs some more steps than for shapes alone, and still more without a density.
    if tags_of(model_class(entry.family, entry.name)).conditional:
        more = {"steps": 100 if "log_joint" in entry.capabilities else 150} | more
    seed_everything(7)
    model = small(entry, **more)
    model.fit(data, trainer or Trainer())
    return model


def fitted_once(name):
    """A model and the small data that it was fitted to: one fit for all tests of a session, which must not change it.

    The random generators are seeded afterwards, so that a test goes on with the same numbers whether it is the first or not.
    """
    model_and_data = _fitted_once(name)
    seed_everything(0)
    return model_and_data


@cache
def _fitted_once(name):
    data = known_data() if MODELS[name].tags.needs_known_distribution else made_data(specification())
    return fitted(MODELS[name], data), data


def calibrated_once(name, method):
    """The calibrated variant of the model that `fitted_once` gives, and its data; that model is not changed."""
    model, data = fitted_once(name)
    variant = calibrated(deepcopy(model), method)
    variant.calibrate(data)
    return variant, data


def having(capability, of_any_data=False):
    """Parametrizes by the models that have the capability; with `of_any_data` without those that need a known distribution."""
    able = {name: entry for name, entry in MODELS.items() if capability in entry.capabilities}
    return pytest.mark.parametrize(
        "name", [name for name, entry in able.items() if not (of_any_data and entry.tags.needs_known_distribution)]
    )


def fitted_to_three_pixels(name):
    """A model of images of three pixels in five gray levels, and all 125 of them; of a binarized model all 8 binary ones.

    As `fitted_once`, one fit for all tests of a session.
    """
    model = _fitted_to_three_pixels(name)
    if model is None:
        pytest.skip("it takes no image so small; a test of its own holds its distribution")
    seed_everything(0)
    values = torch.arange(2.0) if tags_of(model).binarized else torch.arange(5) / 4
    return model, torch.cartesian_prod(*[values] * 3).view(-1, *THREE_PIXELS)


@cache
def _fitted_to_three_pixels(name):
    x = torch.randint(0, 5, (200, *THREE_PIXELS), generator=torch.Generator().manual_seed(5)) / 4
    y = torch.arange(200) % 3
    try:
        return fitted(MODELS[name], TrainingData(specification(THREE_PIXELS), x, y, x[:30], y[:30]), steps=200)
    except ValueError as error:
        if "needs images of 8 x 8 pixels or more" not in str(error):
            raise
        return None


def is_density(model):
    return tags_of(model).likelihood == "density"
