"""The object that `mlflow.pyfunc.load_model` returns. MLflow stores this file with the model and calls `_load_pyfunc`."""

import sys
from pathlib import Path

import numpy as np
import torch

from pofxy.base.prediction import predict_batched, sample_batched
from pofxy.base.seeding import seed_everything
from pofxy.base.tags import tags_of
from pofxy.storage.models import load_model


class ServedModel:
    """Predicts labels where the model is a classifier, and samples otherwise.

    Args:
        model: a fitted model.
    """

    def __init__(self, model):
        self.model = model

    def predict(self, model_input: np.ndarray, params: dict | None = None) -> np.ndarray:
        """Labels of images, or samples.

        Args:
            model_input: of a classifier x, (N, C, H, W) or (N, D); otherwise labels (N,), one for each sample. An unconditional
                model uses their number alone.
            params: {"seed": seed of the samples}, 0 by default.

        Returns:
            Labels (N,) int64, or samples (N, C, H, W) or (N, D) float32.
        """
        seed_everything(int((params or {}).get("seed", 0)))
        if hasattr(self.model, "predict"):
            x = torch.from_numpy(np.asarray(model_input, np.float32))
            return predict_batched(self.model, "predict", x).numpy()
        labels = torch.from_numpy(np.asarray(model_input, np.int64))
        return sample_batched(self.model, len(labels), labels if tags_of(self.model).conditional else None).numpy()


def _load_pyfunc(path: str) -> ServedModel:
    """MLflow's entry point; `path` is the folder of the saved model within the MLflow model."""
    add_code(Path(path).parents[1] / "code")
    return ServedModel(load_model(path))


def add_code(folder: Path) -> None:
    """Lets the packages of pofxy that are already imported find modules in `folder` as well.

    The code stored with a model is what this model needs. Without this, a second model that a process loads would look for its
    modules among those of the first.
    """
    for name, module in list(sys.modules.items()):
        # A package without __init__.py follows the path of its parent by itself; its __path__ is no list.
        path = getattr(module, "__path__", None)
        own = str(folder.joinpath(*name.split(".")))
        if name.partition(".")[0] == "pofxy" and isinstance(path, list) and own not in path:
            path.append(own)
