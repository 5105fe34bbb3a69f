"""Values of quantities and metrics that outlive the job: one file each in the run's folder, named by what it was made of.

A value is used again only where its key is the same: the digest of its code and of all that went into it. A file holds one value,
a new one takes its place, and a value that would make the folder larger than MAX_MEGABYTES is not kept, so the folder is bounded.
`make free` deletes all of them; the next evaluation computes what it needs again.
"""

from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np
import torch

from pofxy.evaluation.ais import Annealing
from pofxy.evaluation.likelihood import Estimate
from pofxy.evaluation.quantity import Gallery, NotApplicable, ProbeResult
from pofxy.storage.files import FileError
from pofxy.storage.models import load_tree, save_tree

MAX_MEGABYTES = 64
RECORDS = {kind.__name__: kind for kind in (Annealing, Estimate, Gallery, ProbeResult)}


class KeptValues:
    """The values of one run.

    Args:
        folder: theirs alone; None keeps nothing.
    """

    def __init__(self, folder: Path | None):
        self.folder = folder

    @classmethod
    def beside(cls, output: Path | str) -> "KeptValues":
        """The values of the run that an output file belongs to."""
        return cls(Path(output).parent / "kept_values")

    def load(self, name: str, key: str) -> tuple[bool, object]:
        """Whether a value of this name and key is there, and the value. A file that cannot be read is as good as none."""
        if not key or self.folder is None or not (path := self.folder / f"{name}.safetensors").is_file():
            return False, None
        try:
            tree = load_tree(path)
        except FileError:
            return False, None
        if not isinstance(tree, dict) or tree.get("key") != key:
            return False, None
        return True, _unpack(tree["value"])

    def save(self, name: str, key: str, value: object) -> None:
        """Keeps a value, if there is room for it."""
        if not key or self.folder is None:
            return
        path = self.folder / f"{name}.safetensors"
        path.unlink(missing_ok=True)
        tree = _pack(value)
        taken = sum(file.stat().st_size for file in self.folder.glob("*.safetensors"))
        if taken + _size(tree) <= MAX_MEGABYTES * 10**6:
            save_tree(path, {"key": key, "value": tree})


def _pack(value):
    """A value as a nest of dicts, lists, tensors and plain numbers."""
    if isinstance(value, NotApplicable):
        return {"kind": "NotApplicable", "value": str(value)}
    if isinstance(value, np.ndarray):
        return {"kind": "array", "value": torch.from_numpy(np.array(value))}
    if isinstance(value, np.generic):
        return value.item()
    if is_dataclass(value) and not isinstance(value, type):
        own = {each.name: _pack(getattr(value, each.name)) for each in fields(value)}
        return {"kind": type(value).__name__, "value": own}
    if isinstance(value, tuple):
        return {"kind": "tuple", "value": [_pack(part) for part in value]}
    if isinstance(value, list):
        return [_pack(part) for part in value]
    if isinstance(value, dict):
        return {"kind": "dict", "value": [[key, _pack(part)] for key, part in value.items()]}
    return value


def _unpack(tree):
    if isinstance(tree, list):
        return [_unpack(part) for part in tree]
    if not isinstance(tree, dict):
        return tree
    kind, value = tree["kind"], tree["value"]
    if kind == "NotApplicable":
        return NotApplicable(value)
    if kind == "array":
        return value.numpy()
    if kind == "tuple":
        return tuple(_unpack(part) for part in value)
    if kind == "dict":
        return {key: _unpack(part) for key, part in value}
    return RECORDS[kind](**{name: _unpack(part) for name, part in value.items()})


def _size(tree) -> int:
    """Bytes of the tensors in a nest, at least."""
    if isinstance(tree, torch.Tensor):
        return tree.numel() * tree.element_size()
    if isinstance(tree, dict):
        return sum(_size(part) for part in tree.values())
    if isinstance(tree, list):
        return sum(_size(part) for part in tree)
    return 8
