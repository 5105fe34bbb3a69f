"""Saves and loads models and nested states without pickle: safetensors for tensors, skops for scikit-learn, JSON for the rest."""

import importlib
import inspect
import json
from dataclasses import asdict
from pathlib import Path
from zipfile import ZIP_DEFLATED

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from pofxy.base.data import DataSpec
from pofxy.base.hyperparameters import build_model
from pofxy.base.prediction import best_device
from pofxy.storage.files import FileError, atomic, read_json, write_json

FORMAT = 1
# scikit-learn's trees: plain arrays, which skops does not trust since compiled code follows them unseen. `_check_trees` looks.
TREES = ("sklearn.tree._tree.Tree", "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor")


# What a user of this module catches, whichever of the two files found the fault.
StoreError = FileError


def save_tree(path: Path | str, tree) -> None:
    """A nest of dicts and lists with tensors, numbers, strings, bools and None at its ends, as one safetensors file."""
    tensors: dict[str, torch.Tensor] = {}
    skeleton = _pull_tensors(tree, tensors)
    with atomic(path) as temporary:
        save_file(tensors, temporary, metadata={"pofxy": json.dumps({"format": FORMAT, "tree": skeleton})})


def load_tree(path: Path | str):
    """What save_tree wrote, on the CPU. Raises StoreError where the file is none of it."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
            header = json.loads((file.metadata() or {})["pofxy"])
    except Exception as error:  # safetensors raises an exception type of its own, with no public base
        raise StoreError(f"{path}: not a pofxy safetensors file ({error})") from None
    if header["format"] != FORMAT:
        raise StoreError(f"{path}: format {header['format']}, this version reads {FORMAT}")
    return _put_tensors(header["tree"], tensors)


def save_model(folder: Path | str, model, family: str, of: str, hyperparameters: dict, spec: DataSpec) -> None:
    """Writes model.json and the model's numbers into a new folder.

    Args:
        folder: it takes its place only when all is written.
        model: a torch module, or an object whose `estimator` is scikit-learn's.
        family, of: the folder and the name of the model's file.
        hyperparameters: deviations from the defaults of `__init__`.
        spec: of the data that it was fitted on.

    Raises:
        StoreError: for a model that is neither.
    """
    folder = Path(folder)
    with atomic(folder) as temporary:
        temporary.mkdir(parents=True)
        if isinstance(model, torch.nn.Module):
            save_tree(temporary / "model.safetensors", model.state_dict())
        elif hasattr(model, "estimator"):
            import skops.io

            # Deflated: a forest is 18 MB of repeated names, or 2.
            skops.io.dump(model.estimator, temporary / "model.skops", compression=ZIP_DEFLATED)
        else:
            raise StoreError(f"{folder}: {type(model).__name__} is neither a torch module nor holds a scikit-learn `estimator`")
        header = {"format": FORMAT, "family": family, "of": of, "hyperparameters": hyperparameters, "spec": asdict(spec)}
        write_json(temporary / "model.json", header)


def load_model(folder: Path | str):
    """The fitted model of a folder that save_model wrote, on the accelerator where there is one. Nothing in it is executed.

    Raises:
        StoreError: where the folder holds anything else: a pickle, another format, types that skops does not know to be safe.
    """
    folder = Path(folder)
    header = read_json(folder / "model.json")
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise StoreError(f"{folder}/model.json: not a pofxy model of format {FORMAT}")
    spec = load_spec(header["spec"])
    model = build_model(model_class(header["family"], header["of"]), header["hyperparameters"])
    if (folder / "model.skops").is_file():
        model.estimator = _load_estimator(folder / "model.skops", type(model.estimator))
    elif (folder / "model.safetensors").is_file():
        model.build(spec)
        _load_state(model, load_tree(folder / "model.safetensors"), folder)
        model.to(best_device())
    else:
        raise StoreError(f"{folder}: there is no model.safetensors and no model.skops, and nothing else is loaded")
    return model


def model_class(family: str, of: str) -> type:
    """The public class of models/{family}/{of}.py: the one that the module itself defines and that has `fit`."""
    module = importlib.import_module(f"pofxy.models.{family}.{of}")
    return next(
        thing
        for name, thing in vars(module).items()
        if inspect.isclass(thing) and thing.__module__ == module.__name__ and hasattr(thing, "fit") and not name.startswith("_")
    )


def load_spec(source: Path | str | dict) -> DataSpec:
    """A DataSpec from spec.json, or from its content."""
    values = source if isinstance(source, dict) else read_json(source)
    return DataSpec(**values | {"shape": tuple(values["shape"]), "class_names": tuple(values["class_names"])})


def _load_estimator(path: Path, kind: type):
    import skops.io

    try:
        held = skops.io.get_untrusted_types(file=path)
        if unknown := [name for name in held if name not in TREES]:
            raise StoreError(f"{path}: refused, it holds {', '.join(unknown)}")
        estimator = skops.io.load(path, trusted=held)
        if type(estimator) is not kind:
            raise StoreError(f"{path}: refused, it holds a {type(estimator).__name__} where a {kind.__name__} belongs")
        _check_trees(estimator, path)
        return estimator
    except StoreError:
        raise
    except Exception as error:  # zipfile's, json's and skops' own: all mean that the file is none of ours
        raise StoreError(f"{path}: not a skops file ({error})") from None


def _check_trees(estimator, path: Path) -> None:
    """Raises StoreError for a tree that would lead its reader outside of its nodes, or of x: the compiled code does not look."""
    members = getattr(estimator, "estimators_", [estimator] if hasattr(estimator, "tree_") else [])
    trees = [one.tree_ for one in members]
    # The reader takes -1 alone for a leaf; another negative child is a place before the first node.
    nodes = [(tree.children_left, tree.children_right, tree.feature, tree.children_left == -1) for tree in trees]
    for tree in (tree for of_round in getattr(estimator, "_predictors", []) for tree in of_round):
        if tree.nodes["is_categorical"].any():
            raise StoreError(f"{path}: refused, a tree of it asks for categories")
        nodes.append((*(tree.nodes[name].astype(int) for name in ("left", "right", "feature_idx")), tree.nodes["is_leaf"] > 0))
    for left, right, feature, leaf in nodes:
        own = np.arange(len(left))
        # A child comes after its parent, so no path runs in a circle.
        ahead = (left > own) & (right > own) & (left < len(left)) & (right < len(left))
        if not (leaf | ahead & (feature >= 0) & (feature < estimator.n_features_in_)).all():
            raise StoreError(f"{path}: refused, a tree of it leads outside of itself")


def _load_state(model: torch.nn.Module, state: dict[str, torch.Tensor], folder: Path) -> None:
    # A buffer takes the size that was saved: what `fit` decides (a number of components) is no hyper-parameter.
    for name in dict(model.named_buffers()):
        if name in state:
            owner, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(owner), leaf, state[name])
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise StoreError(f"{folder}: does not fit {type(model).__name__}: {' '.join(str(error).split())}") from None


def _pull_tensors(tree, tensors: dict):
    if isinstance(tree, torch.Tensor):
        # Contiguous clones: safetensors refuses tensors that share memory.
        tensors[str(len(tensors))] = tree.detach().cpu().contiguous().clone()
        return {"tensor": str(len(tensors) - 1)}
    if isinstance(tree, dict):
        # Pairs, not an object: keys may be whole numbers (an optimizer's are), which JSON's cannot.
        return {"dict": [[key, _pull_tensors(value, tensors)] for key, value in tree.items()]}
    if isinstance(tree, list | tuple):
        return {"list": [_pull_tensors(value, tensors) for value in tree]}
    return tree


def _put_tensors(tree, tensors: dict):
    if not isinstance(tree, dict):
        return tree
    if "tensor" in tree:
        return tensors[tree["tensor"]]
    if "list" in tree:
        return [_put_tensors(value, tensors) for value in tree["list"]]
    return {key: _put_tensors(value, tensors) for key, value in tree["dict"]}
