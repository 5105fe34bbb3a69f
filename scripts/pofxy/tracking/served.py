"""What `mlflow.pyfunc.load_model` gives: the code of a model that MLflow keeps as text and runs when it loads one."""

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class ServedModel(PythonModel):
    """Labels (N,) for images (N, C, H, W) where the model classifies, else one sample for each label asked for, (n, C, H, W)."""

    def load_context(self, context):
        from pofxy import store

        self.model = store.load_model(context.artifacts["model"])

    def predict(self, context, model_input, params=None):
        import numpy as np
        import torch

        from pofxy import protocol

        if isinstance(model_input, dict):  # a named tensor arrives by its name
            (model_input,) = model_input.values()
        protocol.seeded(int((params or {}).get("seed", 0)))
        if hasattr(self.model, "predict"):
            return protocol.apply(self.model, "predict", torch.from_numpy(np.asarray(model_input, np.float32))).numpy()
        labels = torch.from_numpy(np.asarray(model_input, np.int64).reshape(-1))
        return protocol.draw(self.model, len(labels), labels if protocol.is_conditional(self.model) else None).numpy()


set_model(ServedModel())
