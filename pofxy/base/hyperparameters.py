"""The arguments of a model's `__init__`, as the config names them: flat, whatever groups they stand in.

What several models have in common is one small dataclass in the signature, with the model's own defaults:

    def __init__(self, width: int = 3, optimization: Optimization = Optimization(steps=1500, batch=64, learning_rate=3e-3)):

A config says `{width: 4, steps: 500}`; `build_model` puts `steps` where it belongs.
"""

import inspect
from dataclasses import asdict, dataclass, fields, is_dataclass, replace


@dataclass(frozen=True)
class Optimization:
    """How a model is trained in steps.

    Attributes:
        steps: number of batches.
        batch: images in a batch.
        learning_rate: highest learning rate of the schedule.
        weight_decay: decoupled weight decay, as in AdamW.
    """

    steps: int
    batch: int
    learning_rate: float
    weight_decay: float = 0.0


@dataclass(frozen=True)
class Augmentation:
    """Random affine changes of training images; each image has its own, uniform between the bounds.

    Attributes:
        translate: largest translation, as a share of the side.
        degrees: largest rotation to either side, in degrees.
        scale: largest change of scale, as a share.
    """

    translate: float = 0.08
    degrees: float = 10.0
    scale: float = 0.1


def default_hyperparameters(model_class: type) -> dict[str, object]:
    """Defaults of `__init__` by name; those of a group stand under their own names."""
    found = {}
    for name, parameter in inspect.signature(model_class).parameters.items():
        if is_dataclass(parameter.default) and not isinstance(parameter.default, type):
            found |= asdict(parameter.default)
        elif parameter.default is not parameter.empty:
            found[name] = parameter.default
    return found


def build_model(model_class: type, settings: dict[str, object] | None = None, **more: object):
    """A model with these hyperparameters, and the defaults for the rest.

    Args:
        model_class: the class.
        settings: hyperparameters by name, flat as in a config.
        **more: further ones.

    Raises:
        TypeError: for a name that is no hyperparameter of the class.
    """
    given = dict(settings or {}) | more
    arguments = {}
    for name, parameter in inspect.signature(model_class).parameters.items():
        if is_dataclass(parameter.default) and not isinstance(parameter.default, type):
            own = {field.name for field in fields(parameter.default)} & set(given)
            arguments[name] = replace(parameter.default, **{key: given.pop(key) for key in own})
    return model_class(**arguments, **given)
