"""LabelledData on demand, from the model that a run left: what stands behind scripts/draw.py."""

from pathlib import Path

import torch

from pofxy.base.prediction import inference, sample_batched
from pofxy.base.seeding import seed_everything
from pofxy.base.tags import tags_of
from pofxy.storage import files
from pofxy.storage.image_grid import save_grid
from pofxy.storage.models import load_model, load_spec
from pofxy.study import plan

# Pixels of the picture that an image takes: a single one, and one of several.
ALONE, TOGETHER, COLUMNS = 224, 112, 10


def draw(run: str, out: str, text: str | None = None, label: str | None = None, count: int = 1, seed: int = 0) -> str:
    """Writes a picture of new images.

    Args:
        run: folder of a run, which holds the folder `model`.
        out: the picture, a PNG.
        text: a prompt, for a model with `sample_text`.
        label: the name or the number of a class, for a conditional model.
        count: images, in rows of ten.
        seed: of the draw.

    Returns:
        A sentence that says what was drawn, and where it is.

    Raises:
        ValueError: where the model cannot do what it is asked for; the message says why, and names what it can.
    """
    folder = Path(run) / "model"
    if not (folder / "model.json").is_file():
        raise ValueError(f"{run}: no model in it; a run's folder is results/runs/{{dataset}}/{{model}}/seed{{seed}}")
    if count < 1:
        raise ValueError(f"--count {count}: at least one image")
    model, spec = load_model(folder), load_spec(files.read_json(folder / "model.json")["spec"])
    name = type(model).__name__
    if len(spec.shape) != 3:
        raise ValueError(f"{run}: {name} was fitted to a table, and there are no images to draw")
    if text is not None and not hasattr(model, "sample_text"):
        raise ValueError(f"--text: {name} draws from no text; dalle does")
    if text is None and not hasattr(model, "sample"):
        raise ValueError(f"{run}: {name} has no samples to give")
    if label is not None and not tags_of(model).conditional:
        raise ValueError(f"--label: {name} draws from all classes alike and cannot be asked for one")
    seed_everything(seed)
    if text is not None:
        with inference(model):
            images, what = model.sample_text([text] * count), f"'{text}'"
    else:
        wanted = None if label is None else torch.full((count,), _class(label, spec.class_names))
        images, what = sample_batched(model, count, wanted), "whatever it draws" if label is None else f"class {label}"
    save_grid(Path(out), images, min(count, COLUMNS), ALONE if count == 1 else TOGETHER)
    return f"{out}: {what}, {count} by {name}, seed {seed}"


def _class(label: str, names: tuple[str, ...]) -> int:
    """The number of a class by its name, or by its number where no class has that for a name."""
    if label in names:
        return names.index(label)
    if label.isdecimal() and int(label) < len(names):
        return int(label)
    raise ValueError(f"--label: no class '{label}'{plan.nearest(label, names)}")
