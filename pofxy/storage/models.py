"""Saves and loads models and nested states without pickle: safetensors for tensors, skops for scikit-learn, JSON for the rest."""

import importlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from pofxy.base.data import DataSpec
from pofxy.base.hyperparameters import build_model
from pofxy.base.prediction import best_device
from pofxy.base.public_class import public_class
from pofxy.storage.files import FileError, atomic, read_json, write_json

FORMAT = 1
# scikit-learn's trees are plain arrays, but compiled code follows their indices unchecked, so skops does not trust them.
# `_check_trees` checks them.
TREES = ("sklearn.tree._tree.Tree", "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor")


def save_tree(path: Path | str, tree: Any) -> None:
    """Writes one safetensors file, whole or not at all.

    Args:
        path: of the file.
        tree: a nest of dicts and lists with tensors, numbers, strings, bools and None at its ends.
    """
    tensors: dict[str, torch.Tensor] = {}
    skeleton = _pull_tensors(tree, tensors)
    with atomic(path) as temporary:
        save_file(tensors, temporary, metadata={"pofxy": json.dumps({"format": FORMAT, "tree": skeleton})})


def load_tree(path: Path | str) -> Any:
    """What save_tree wrote, with tensors on the CPU and lists in place of tuples.

    Raises:
        FileError: for a file that save_tree did not write.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
            header = json.loads((file.metadata() or {})["pofxy"])
    except Exception as error:  # safetensors' own exception has no public base class
        raise FileError(f"{path}: not a pofxy safetensors file ({error})") from None
    if header["format"] != FORMAT:
        raise FileError(f"{path}: format {header['format']}, this version reads {FORMAT}")
    return _put_tensors(header["tree"], tensors)


def save_model(
    folder: Path | str, model: Any, family: str, of: str, hyperparameters: dict, spec: DataSpec, calibrate: str = ""
) -> None:
    """Writes model.json and the fitted numbers of a model into a new folder.

    Args:
        folder: written whole or not at all.
        model: a torch module, or an object whose `estimator` is scikit-learn's.
        family: folder of the model's file, e.g. "generative".
        of: name of the model's file, e.g. "vae".
        hyperparameters: deviations from the defaults of `__init__`.
        spec: of the data that the model was fitted to.
        calibrate: of a calibrated classifier, how, as `new_model` takes it; the model is then what `new_model` gave.

    Raises:
        FileError: for a model of another kind.
    """
    folder = Path(folder)
    with atomic(folder) as temporary:
        temporary.mkdir(parents=True)
        if calibrate:
            save_tree(temporary / "calibration.safetensors", model.correction())
            model = model.model
        if isinstance(model, torch.nn.Module):
            save_tree(temporary / "model.safetensors", model.state_dict())
        elif hasattr(model, "estimator"):
            import skops.io

            # Compressed: a forest of 18 MB is mostly repeated names and takes 2 MB.
            skops.io.dump(model.estimator, temporary / "model.skops", compression=ZIP_DEFLATED)
        else:
            raise FileError(f"{folder}: {type(model).__name__} is neither a torch module nor holds a scikit-learn `estimator`")
        header = {"format": FORMAT, "family": family, "of": of, "hyperparameters": hyperparameters, "spec": asdict(spec)}
        write_json(temporary / "model.json", header | ({"calibrate": calibrate} if calibrate else {}))


def load_model(folder: Path | str) -> Any:
    """The fitted model of a folder that save_model wrote, on the accelerator if there is one. No code in the folder is executed.

    Raises:
        FileError: for any other content: a pickle, another format, types that skops does not know to be safe.
    """
    folder = Path(folder)
    header = read_json(folder / "model.json")
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise FileError(f"{folder}/model.json: not a pofxy model of format {FORMAT}")
    spec = load_spec(header["spec"])
    model = build_model(model_class(header["family"], header["of"]), header["hyperparameters"])
    if (folder / "model.skops").is_file():
        model.estimator = _load_estimator(folder / "model.skops", type(model.estimator))
    elif (folder / "model.safetensors").is_file():
        model.build(spec)
        _load_state(model, load_tree(folder / "model.safetensors"), folder)
        model.to(best_device())
    else:
        raise FileError(f"{folder}: there is no model.safetensors and no model.skops, and nothing else is loaded")
    return _load_calibrated(model, header["calibrate"], folder) if header.get("calibrate") else model


def new_model(family: str, of: str, hyperparameters: dict, calibrate: str = "") -> Any:
    """A model that is not fitted.

    Args:
        family, of, hyperparameters: as of `save_model`.
        calibrate: "temperature" or "isotonic" for a calibrated classifier, "" for the model itself.
    """
    model = build_model(model_class(family, of), hyperparameters)
    return _calibrated(model, calibrate) if calibrate else model


def model_class(family: str, of: str) -> type:
    """The model's class: the public class with `fit` of models/{family}/{of}.py."""
    return public_class(f"pofxy.models.{family}.{of}", "fit")


def load_spec(source: Path | str | dict[str, Any]) -> DataSpec:
    """A DataSpec from the path of a spec.json, or from its content."""
    values = source if isinstance(source, dict) else read_json(source)
    tuples: dict[str, Any] = {"shape": tuple(values["shape"]), "class_names": tuple(values["class_names"])}
    return DataSpec(**values | tuples)


def _calibrated(model: Any, calibrate: str) -> Any:
    # Imported by its name, so that no other model depends on its code: an edit of it re-runs calibrated classifiers alone.
    return importlib.import_module("pofxy.base.calibration").calibrated(model, calibrate)


def _load_calibrated(model: Any, calibrate: str, folder: Path) -> Any:
    correction = load_tree(folder / "calibration.safetensors")
    try:
        model = _calibrated(model, calibrate)
        model.load_correction(correction)
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(f"{folder}: not a calibrated classifier ({error})") from None
    return model


def _load_estimator(path: Path, kind: type) -> Any:
    import skops.io

    try:
        untrusted = skops.io.get_untrusted_types(file=path)
        if unknown := [name for name in untrusted if name not in TREES]:
            raise FileError(f"{path}: refused, it holds {', '.join(unknown)}")
        estimator = skops.io.load(path, trusted=untrusted)
        if type(estimator) is not kind:
            raise FileError(f"{path}: refused, it holds a {type(estimator).__name__} where a {kind.__name__} belongs")
        _check_trees(estimator, path)
        return estimator
    except FileError:
        raise
    except Exception as error:  # of zipfile, json or skops: each means that save_model did not write the file
        raise FileError(f"{path}: not a skops file ({error})") from None


def _check_trees(estimator: Any, path: Path) -> None:
    """Raises FileError for a tree with an index outside of its nodes or of the columns of x: the compiled code does not check."""
    nodes = []
    members = getattr(estimator, "estimators_", [estimator] if hasattr(estimator, "tree_") else [])
    for tree in (member.tree_ for member in members):
        # In these trees -1 marks a leaf; another negative child would be read from before the first node.
        nodes.append((tree.children_left, tree.children_right, tree.feature, tree.children_left == -1))
    for tree in (tree for trees in getattr(estimator, "_predictors", []) for tree in trees):
        if tree.nodes["is_categorical"].any():
            raise FileError(f"{path}: refused, a tree of it has a categorical split")
        left, right, feature = (tree.nodes[name].astype(int) for name in ("left", "right", "feature_idx"))
        nodes.append((left, right, feature, tree.nodes["is_leaf"] > 0))
    for left, right, feature, is_leaf in nodes:
        own = np.arange(len(left))
        # A child comes after its parent, so no path runs in a circle.
        children_exist = (left > own) & (right > own) & (left < len(left)) & (right < len(left))
        if not (is_leaf | children_exist & (feature >= 0) & (feature < estimator.n_features_in_)).all():
            raise FileError(f"{path}: refused, a tree of it leads outside of itself")


def _load_state(model: torch.nn.Module, state: dict[str, torch.Tensor], folder: Path) -> None:
    # A buffer takes the size that was saved: sizes that `fit` selects (e.g. a number of components) are no hyperparameters.
    for name in dict(model.named_buffers()):
        if name in state:
            owner, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(owner), leaf, state[name])
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise FileError(f"{folder}: does not fit {type(model).__name__}: {' '.join(str(error).split())}") from None


def _pull_tensors(tree: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """The tree with a key of `tensors` in place of each tensor, which goes there; JSON can hold it."""
    if isinstance(tree, torch.Tensor):
        # Contiguous clones: safetensors refuses tensors that share memory.
        tensors[str(len(tensors))] = tree.detach().cpu().contiguous().clone()
        return {"tensor": str(len(tensors) - 1)}
    if isinstance(tree, dict):
        # Pairs, not an object: keys may be integers, which JSON's cannot.
        return {"dict": [[key, _pull_tensors(value, tensors)] for key, value in tree.items()]}
    if isinstance(tree, list | tuple):
        return {"list": [_pull_tensors(value, tensors) for value in tree]}
    return tree


def _put_tensors(tree: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """The inverse of `_pull_tensors`."""
    if not isinstance(tree, dict):
        return tree
    if "tensor" in tree:
        return tensors[tree["tensor"]]
    if "list" in tree:
        return [_put_tensors(value, tensors) for value in tree["list"]]
    return {key: _put_tensors(value, tensors) for key, value in tree["dict"]}
