"""Images on demand from the model of a run: the work of scripts/draw.py."""

from pathlib import Path

import torch

from pofxy.base.prediction import inference, sample_batched
from pofxy.base.seeding import seed_everything
from pofxy.base.tags import tags_of
from pofxy.storage import files
from pofxy.storage.image_grid import save_grid
from pofxy.storage.models import load_model, load_spec
from pofxy.study import plan

# Size of an image in the picture, in pixels: of a single image, and of one of several.
SINGLE_SIZE = 224
GRID_SIZE = 112
MAX_COLUMNS = 10


def generate(run: str, out: str, text: str | None = None, label: str | None = None, count: int = 1, seed: int = 0) -> str:
    """Writes a picture of new images.

    Args:
        run: folder of a run, with the folder `model` in it.
        out: path of the picture, a PNG.
        text: a prompt, for a model with `sample_text`.
        label: name or number of a class, for a conditional model.
        count: number of images, in rows of ten.
        seed: of the random generators.

    Returns:
        A line that says what was generated, and where it is.

    Raises:
        ValueError: where the model cannot generate this; the message says why, and what it can generate.
    """
    folder = Path(run) / "model"
    if not (folder / "model.json").is_file():
        raise ValueError(f"{run}: no model in it; a run's folder is results/runs/{{dataset}}/{{model}}/seed{{seed}}")
    if count < 1:
        raise ValueError(f"--count {count}: at least one image")
    model = load_model(folder)
    spec = load_spec(files.read_json(folder / "model.json")["spec"])
    name = type(model).__name__
    if len(spec.shape) != 3:
        raise ValueError(f"{run}: {name} was fitted to a table, and there are no images to draw")
    if text is not None and not hasattr(model, "sample_text"):
        raise ValueError(f"--text: {name} is no text-to-image model; dalle is one")
    if text is None and not hasattr(model, "sample"):
        raise ValueError(f"{run}: {name} cannot be sampled")
    if label is not None and not tags_of(model).conditional:
        raise ValueError(f"--label: {name} is an unconditional model and cannot draw images of one class")
    seed_everything(seed)
    if text is not None:
        with inference(model):
            images = model.sample_text([text] * count)
        content = f"'{text}'"
    else:
        labels = None if label is None else torch.full((count,), class_number(label, spec.class_names))
        images = sample_batched(model, count, labels)
        content = "any class" if label is None else f"class {label}"
    save_grid(Path(out), images, min(count, MAX_COLUMNS), SINGLE_SIZE if count == 1 else GRID_SIZE)
    return f"{out}: {content}, {count} by {name}, seed {seed}"


def class_number(label: str, names: tuple[str, ...]) -> int:
    """The number of a class.

    Args:
        label: name of the class, or its number where no class has that for a name.
        names: names of the classes.

    Raises:
        ValueError: where there is no such class.
    """
    if label in names:
        return names.index(label)
    if label.isdecimal() and int(label) < len(names):
        return int(label)
    raise ValueError(f"--label: no class '{label}'{plan.nearest(label, names)}")
