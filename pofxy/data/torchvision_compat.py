"""Imports torchvision, also where its compiled operators do not load beside the installed torch.

torchvision's GPU build cannot load its operators beside a CPU-only torch. `import torchvision` then fails: it describes the
shapes of two operators in Python, and PyTorch refuses to describe an operator that does not exist
(https://github.com/pytorch/vision/issues/9085).
"""

import importlib.util
from pathlib import Path
from types import ModuleType

# The operators whose shapes torchvision describes in Python, with the one signature that both have.
DESCRIBED_OPERATORS = ("nms", "qnms")
SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"

# torch.library.Library undeclares its operators when it is garbage-collected, so it must live as long as the process.
_libraries = []


def import_torchvision() -> ModuleType:
    """The torchvision module, with its operators where they load.

    Where they do not load, the two operators are declared without a body, which is all that the import needs. Data sets,
    transforms and models then work; a call of such an operator raises NotImplementedError. Where they load, nothing is declared.

    Raises:
        ImportError: where torchvision is not installed.
    """
    import torch

    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise ImportError("torchvision is not installed")
    for file in Path(spec.origin).parent.glob("_C*.*"):
        try:
            torch.ops.load_library(str(file))
        except (ImportError, OSError):
            continue
    missing = [name for name in DESCRIBED_OPERATORS if not hasattr(torch.ops.torchvision, name)]
    if missing:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in missing:
            library.define(f"{name}{SIGNATURE}")
        _libraries.append(library)
    import torchvision

    return torchvision
