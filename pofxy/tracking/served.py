"""What `mlflow.pyfunc.load_model` gives: MLflow keeps this file beside the model and calls `_load_pyfunc`."""

from pathlib import Path

import numpy as np
import torch

import pofxy
from pofxy.base.prediction import predict_batched, sample_batched
from pofxy.base.seeding import seed_everything
from pofxy.base.tags import tags_of
from pofxy.storage.models import load_model


class ServedModel:
    """Labels (N,) for images (N, C, H, W) where the model classifies, else one sample for each label asked for, (n, C, H, W)."""

    def __init__(self, model):
        self.model = model

    def predict(self, model_input, params=None):
        """Labels, or samples; params: {"seed": of the samples}."""
        seed_everything(int((params or {}).get("seed", 0)))
        if hasattr(self.model, "predict"):
            return predict_batched(self.model, "predict", torch.from_numpy(np.asarray(model_input, np.float32))).numpy()
        labels = torch.from_numpy(np.asarray(model_input, np.int64))
        return sample_batched(self.model, len(labels), labels if tags_of(self.model).conditional else None).numpy()


def _load_pyfunc(path: str) -> ServedModel:
    # The code beside a model is the model's own alone: without this line, the second model that a process loads would be looked
    # for among the code of the first.
    pofxy.__path__.append(str(Path(path).parents[1] / "code/pofxy"))
    return ServedModel(load_model(path))
