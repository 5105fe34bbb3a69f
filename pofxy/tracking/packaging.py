"""A saved model as an MLflow model: `mlflow.pyfunc.load_model` gives the predictions of a classifier or the samples of a
generator.

The MLflow model holds the folder of the saved model (arrays and JSON, no pickle) and the source files of this package that it
needs.
"""

import ast
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

import mlflow
import numpy as np
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput
from mlflow.models import Model, ModelSignature
from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec

from pofxy.storage import files
from pofxy.study import catalog, fingerprint


def log_model(client: MlflowClient, run_id: str, folder: Path) -> None:
    """Logs the model of a folder that `save_model` wrote, unless it can neither predict nor sample.

    Args:
        client: of the server that has the run.
        run_id: of the run that gets the model.
        folder: of the saved model.
    """
    header = files.read_json(folder / "model.json")
    entry = catalog.models()[header["of"]]
    if not {"predict", "sample"} & set(entry.capabilities):
        return
    experiment = client.get_run(run_id).info.experiment_id
    logged = client.create_logged_model(experiment, name="model", source_run_id=run_id)
    # Not `mlflow.pyfunc.log_model`: it loads the model again to test it, and uses the one server that is set for the whole
    # process.
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model"
        mlflow_model = Model(logged.artifact_location, run_id, model_id=logged.model_id)
        _save(path, mlflow_model, folder, entry, header, Path(scratch) / "pofxy")
        client.log_model_artifacts(logged.model_id, str(path))
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])


def _save(path: Path, mlflow_model: Model, folder: Path, entry: catalog.ModelEntry, header: dict, code: Path) -> None:
    """Writes the MLflow model to `path`; `code` is a scratch folder for the source files, and `header` the model.json."""
    own = [catalog.PACKAGE / "tracking" / name for name in ("served.py", "__init__.py")]
    calibration = [catalog.PACKAGE / "base/calibration.py"] if header.get("calibrate") else []
    sources = fingerprint.closure(*own, entry.path, *calibration, without=())
    for source in [*sources, catalog.PACKAGE / "__init__.py"]:
        copy = code / source.relative_to(catalog.PACKAGE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
    images = TensorSpec(np.dtype("float32"), (-1, *header["spec"]["shape"]))
    labels = TensorSpec(np.dtype("int64"), (-1,))
    inputs, outputs = (images, labels) if "predict" in entry.capabilities else (labels, images)
    mlflow.pyfunc.save_model(
        path,
        loader_module="pofxy.tracking.served",
        data_path=str(folder),
        code_paths=[str(code)],
        mlflow_model=mlflow_model,
        signature=ModelSignature(Schema([inputs]), Schema([outputs]), ParamSchema([ParamSpec("seed", "long", 0)])),
        input_example=np.zeros((1, *inputs.shape[1:]), inputs.type),
        # Without this, MLflow infers the requirements, which takes some seconds per model.
        pip_requirements=_requirements(tuple(sources)),
    )


def _requirements(sources: tuple[Path, ...]) -> list[str]:
    """The packages that these files import, with their versions.

    The local version label is left out: "2.13.0+cpu" is on no package index that every machine uses.
    """
    modules = set()
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules.add(node.module.partition(".")[0])
    names = {name for module in modules - {"pofxy"} for name in _distributions().get(module, [])}
    return [f"{name}=={metadata.version(name).partition('+')[0]}" for name in sorted(names)]


@cache
def _distributions() -> Mapping[str, list[str]]:
    """Names of installed packages by the modules that they provide."""
    return metadata.packages_distributions()
