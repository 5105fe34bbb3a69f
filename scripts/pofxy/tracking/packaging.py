"""A saved model as an MLflow model: `mlflow.pyfunc.load_model` gives predictions for a classifier and samples for a generator.

The MLflow model is this package's code and the model's folder: arrays and JSON, no pickle.
"""

import shutil
import tempfile
from pathlib import Path

import mlflow
import numpy as np
from mlflow.models import ModelSignature
from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec

from pofxy import catalog, files

# What loading and calling a model needs; MLflow would otherwise guess, at some seconds a model.
REQUIREMENTS = ("torch", "numpy", "safetensors", "scikit-learn", "skops")


def log_model(folder: Path) -> None:
    """Logs the model of a folder that store.save_model wrote to the active run, with signature and input example."""
    from importlib import metadata

    header = files.read_json(folder / "model.json")
    spec = header["spec"]
    verbs = catalog.models()[header["of"]].verbs
    if "predict" in verbs:
        example = np.zeros((1, *spec["shape"]), np.float32)
        inputs, outputs = TensorSpec(np.dtype("float32"), (-1, *spec["shape"]), "x"), TensorSpec(np.dtype("int64"), (-1,), "y")
    else:
        example = np.zeros(1, np.int64)
        inputs, outputs = (
            TensorSpec(np.dtype("int64"), (-1,), "labels"),
            TensorSpec(np.dtype("float32"), (-1, *spec["shape"]), "x"),
        )
    signature = ModelSignature(Schema([inputs]), Schema([outputs]), ParamSchema([ParamSpec("seed", "long", 0)]))
    with tempfile.TemporaryDirectory() as scratch:
        code = Path(scratch) / "pofxy"
        shutil.copytree(catalog.PACKAGE, code, ignore=shutil.ignore_patterns("__pycache__"))
        mlflow.pyfunc.log_model(
            name="model",
            python_model=str(catalog.PACKAGE / "tracking/served.py"),
            artifacts={"model": str(folder)},
            code_paths=[str(code)],
            signature=signature,
            input_example=example,
            pip_requirements=[f"{name}=={metadata.version(name).split('+')[0]}" for name in REQUIREMENTS],
        )
