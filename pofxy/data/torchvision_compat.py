"""Imports torchvision, also beside a torch that its compiled operators cannot load with."""

import importlib.util
from pathlib import Path

# The library that declares the missing operators: it must live as long as the process does.
_declared = []


def import_torchvision():
    """The torchvision module.

    Beside a CPU-only torch, torchvision's GPU build cannot load its operators, and its import fails on the two whose shapes it
    describes in Python (pytorch/vision #9085). Declared without a body they let data sets, transforms and models work. Where
    the operators load, nothing is declared.
    """
    import torch

    folder = Path(importlib.util.find_spec("torchvision").origin).parent
    for file in folder.glob("_C*.*"):
        try:
            torch.ops.load_library(str(file))
        except (ImportError, OSError):
            continue
    missing = [name for name in ("nms", "qnms") if not hasattr(torch.ops.torchvision, name)]
    if missing:
        _declared.append(torch.library.Library("torchvision", "FRAGMENT"))
        for name in missing:
            _declared[-1].define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision

    return torchvision
