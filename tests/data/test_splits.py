"""Splits: what `preprocess` wrote is what a job reads, and no job changes the shared files."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pofxy.data import splits
from pofxy.data.datasets import LabelledData
from pofxy.data.preprocess import preprocess


@pytest.fixture
def written(tmp_path) -> Path:
    """The folder of a preprocessed data set of 60 images in three classes."""
    x = np.random.default_rng(0).integers(0, 17, (60, 1, 4, 4), dtype=np.uint8)
    preprocess("mine", LabelledData(x, np.arange(60) % 3, 17, tuple("abc")), tmp_path)
    return tmp_path


def test_training_data_hold_the_train_and_the_val_split(written):
    files = {part: [str(written / f"{part}_{letter}.npy") for letter in "xy"] for part in ("train", "val")}
    data = splits.load_data(files["train"], files["val"], str(written / "spec.json"))
    assert (data.spec.name, data.spec.shape, data.spec.classes, data.spec.levels) == ("mine", (1, 4, 4), 3, 17)
    assert (data.x.dtype, data.y.dtype) == (torch.float32, torch.int64)
    for part, x, y in (("train", data.x, data.y), ("val", data.x_val, data.y_val)):
        assert np.array_equal(x.numpy(), np.load(written / f"{part}_x.npy"))
        assert np.array_equal(y.numpy(), np.load(written / f"{part}_y.npy"))


def test_changing_a_loaded_tensor_does_not_change_its_file(written):
    before = (written / "test_x.npy").read_bytes()
    x = splits.load(written / "test_x.npy")
    x.zero_()
    assert (written / "test_x.npy").read_bytes() == before
    assert splits.load(written / "test_x.npy").any()


def test_a_file_with_pickled_objects_is_refused(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{"not": "a number"}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="Python objects"):
        splits.load(tmp_path / "objects.npy")
