"""How large a data set is, before and after it is downloaded."""

import gzip
import inspect
import json
import struct

import numpy as np
import pytest

from pofxy.data.datasets import open_dataset
from pofxy.data.preprocess import preprocess
from pofxy.study import catalog, sizes
from pofxy.study.plan import Source
from pofxy.study.sizes import Size, size_of


def test_what_is_preprocessed_counts_first(tmp_path):
    folder = tmp_path / "data/digits"
    folder.mkdir(parents=True)
    (folder / "spec.json").write_text(json.dumps({"shape": [3, 4, 5]}))
    (folder / "audit.json").write_text(json.dumps({"counts": {"train": [7, 8], "val": [1], "test": [2, 3]}}))
    assert size_of(Source("digits", "digits"), tmp_path, {}) == Size(15, 5, 60)


def test_before_a_download_the_data_sets_file_says_it(tmp_path):
    assert size_of(Source("digits", "digits"), tmp_path, {}) == Size(1258, 359, 64)
    assert size_of(Source("mnist", "mnist"), tmp_path, {"val": 0.2}) == Size(46_000, 10_000, 784)
    table = size_of(Source("g", "gaussians", {"n": 300}), tmp_path, {})
    assert table == Size(210, 60, 2, table=True)


@pytest.mark.parametrize("name", ["digits", "gaussians", "known_images"])
def test_the_stated_size_is_the_size(name, tmp_path):
    """Of all data sets that need no network."""
    dataset = open_dataset(name, {})
    dataset.download(tmp_path, tmp_path)
    data = dataset.read(tmp_path)
    entry = catalog.datasets()[name]
    rows = entry.rows or entry.parameters["n"].default
    assert (len(data.x), data.x.shape[1:]) == (rows, entry.shape)


def test_the_users_own_files_are_read_as_far_as_their_headers(tmp_path):
    header = struct.pack(">HBB4I", 0, 8, 4, 100, 6, 5, 3)
    (tmp_path / "train-images-idx4-ubyte").write_bytes(header + np.zeros(100 * 90, np.uint8).tobytes())
    source = Source("mine", "idx", {"path": str(tmp_path)})
    assert size_of(source, tmp_path, {}) == Size(70, 20, 90)
    with gzip.open(tmp_path / "t10k-images-idx4-ubyte.gz", "wb") as file:
        file.write(struct.pack(">HBB4I", 0, 8, 4, 30, 6, 5, 3))
    assert size_of(source, tmp_path, {"val": 0.0}) == Size(100, 30, 90)


def test_what_nothing_tells_is_none(tmp_path):
    (tmp_path / "images.txt").write_text("no such format")
    assert size_of(Source("mine", "idx", {"path": str(tmp_path)}), tmp_path, {}) is None


def test_the_shares_are_those_of_preprocess():
    """The study's files import nothing of `data`, so they name the shares once more."""
    defaults = {name: parameter.default for name, parameter in inspect.signature(preprocess).parameters.items()}
    assert (defaults["test"], defaults["val"]) == (sizes.TEST, sizes.VAL)
