"""Saved models and states: what survives, and what is refused."""

import pickle
import subprocess
from types import SimpleNamespace

import pytest
import skops.io
import torch
from sklearn.pipeline import FunctionTransformer

from pofxy.base.data import DataSpec
from pofxy.storage.files import FileError, write_json
from pofxy.storage.models import load_model, load_tree, save_model, save_tree


class Malicious:
    """An object whose pickle runs code when it is loaded."""

    def __reduce__(self):
        return (print, ("executed",))


@pytest.fixture
def header():
    """The content of model.json."""
    spec = {"name": "made", "shape": [4], "classes": 2, "levels": None, "class_names": ["a", "b"]}
    return {"format": 1, "family": "discriminative", "of": "logistic_regression", "hyperparameters": {}, "spec": spec}


def test_trees_survive_a_round_trip(tmp_path):
    tree = {"a": [1, 2.5, None, True, "x"], 3: {"t": torch.arange(4), "shared": torch.zeros(2).expand(3, 2)}, "empty": {}}
    save_tree(tmp_path / "tree.safetensors", tree)
    loaded = load_tree(tmp_path / "tree.safetensors")
    assert loaded["a"] == tree["a"]
    assert loaded["empty"] == {}
    assert list(loaded) == list(tree)
    assert torch.equal(loaded[3]["t"], tree[3]["t"])
    assert torch.equal(loaded[3]["shared"], tree[3]["shared"])


@pytest.mark.parametrize(("name", "content"), [("model.pkl", pickle.dumps(Malicious())), ("model.pt", b"x")])
def test_other_formats_are_not_loaded(name, content, header, tmp_path):
    write_json(tmp_path / "model.json", header)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileError, match="nothing else is loaded"):
        load_model(tmp_path)


@pytest.mark.parametrize(("name", "of"), [("model.safetensors", "mlp"), ("model.skops", "logistic_regression")])
def test_a_pickle_by_the_name_of_our_formats_is_refused_and_not_run(name, of, header, tmp_path, capsys):
    write_json(tmp_path / "model.json", header | {"of": of})
    (tmp_path / name).write_bytes(pickle.dumps(Malicious()))
    with pytest.raises(FileError, match=f"{name}: not a"):
        load_model(tmp_path)
    assert "executed" not in capsys.readouterr().out


def test_a_skops_file_with_a_foreign_type_is_refused(header, tmp_path):
    write_json(tmp_path / "model.json", header)
    skops.io.dump(FunctionTransformer(func=subprocess.run), tmp_path / "model.skops")
    with pytest.raises(FileError, match=r"refused, it holds .*subprocess"):
        load_model(tmp_path)


def test_another_version_of_the_format_is_refused(header, tmp_path):
    write_json(tmp_path / "model.json", header | {"format": 99})
    with pytest.raises(FileError, match="not a pofxy model of format 1"):
        load_model(tmp_path)


def test_a_model_of_another_kind_is_not_saved(tmp_path):
    with pytest.raises(FileError, match="neither a torch module"):
        save_model(tmp_path / "model", SimpleNamespace(), "a", "b", {}, DataSpec("s", (4,), 2, None, ("a", "b")))
    assert not (tmp_path / "model").exists()
