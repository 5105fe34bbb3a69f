"""Data sets: downloads are checked, files are read as they are, and the arrays that are written hold what was read."""

import functools
import gzip
import hashlib
import io
import json
import os
import socket
import struct
import subprocess
import sys
import tarfile
import threading
from collections.abc import Sequence
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest

from pofxy.data import preprocess
from pofxy.data.datasets import Dataset, DatasetError, DownloadError, LabelledData, cifar10, open_dataset
from pofxy.data.datasets.cifar10 import CIFAR10
from pofxy.data.datasets.digits import Digits
from pofxy.data.datasets.fashion_mnist import FashionMNIST
from pofxy.data.datasets.idx import Idx
from pofxy.data.datasets.mnist import MNIST
from pofxy.storage.files import FileError, atomic, read_json
from pofxy.study import catalog

ROOT = Path(__file__).resolve().parents[2]
MNIST_20K = Path(os.environ.get("POFXY_SHARED_DATA", ROOT.parent / "shared/data")) / "mnist-20k"
NAMES = ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"]


def gray(n: int, size: int = 6, channels: int | None = None, seed: int = 0) -> np.ndarray:
    """Random gray levels, (n, size, size) or (n, size, size, channels) uint8."""
    shape = (n, size, size) if channels is None else (n, size, size, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def labels(n: int, classes: int = 10) -> np.ndarray:
    """0, 1, .., classes - 1 and again, (n,) uint8."""
    return (np.arange(n) % classes).astype(np.uint8)


def idx_bytes(array: np.ndarray, code: int = 0x08) -> bytes:
    """The content of an IDX file; `code` is the type of its entries, unsigned bytes by default."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape) + array.tobytes()


def write_idx(path: Path, array: np.ndarray) -> None:
    """Writes an IDX file, gzipped where its name ends in .gz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = idx_bytes(array)
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def write_folder(folder: Path, names: Sequence[str] = NAMES, train: int = 40, test: int = 20) -> Path:
    """Writes a folder of IDX files: images and labels for train, then for test, as far as there are names."""
    for name, array in zip(names, [gray(train), labels(train), gray(test, seed=1), labels(test)]):
        write_idx(folder / name, array)
    return folder


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def download_and_read(dataset: Dataset, folder: Path, offered: Path) -> LabelledData:
    folder.mkdir(parents=True, exist_ok=True)
    dataset.download(folder, offered)
    return dataset.read(folder)


@pytest.fixture
def served(tmp_path):
    """A folder on a web server of this machine: (folder, URL)."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture
def closed():
    """The URL of a port on which no server listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/"


@pytest.fixture
def published(monkeypatch):
    """A function that makes the files of a folder the published files of a data set of torchvision."""
    from pofxy.data.torchvision_compat import import_torchvision

    def publish(name, folder, mirrors):
        source = getattr(import_torchvision().datasets, name)
        monkeypatch.setattr(source, "resources", [(file, md5(folder / file)) for file in NAMES])
        monkeypatch.setattr(source, "mirrors", mirrors)

    return publish


# IDX files


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_idx_reads_the_content_of_the_files(tmp_path, ending):
    names = [name.removesuffix(".gz") + ending for name in NAMES]
    images = download_and_read(Idx(str(write_folder(tmp_path / "mine", names))), tmp_path / "raw", tmp_path / "none")
    assert np.array_equal(images.x, np.concatenate([gray(40), gray(20, seed=1)])[:, None])
    assert np.array_equal(images.y, np.concatenate([labels(40), labels(20)]))
    assert (images.x.dtype, images.y.dtype, images.levels, images.test_from) == (np.uint8, np.int64, 256, 40)
    assert images.class_names == tuple("0123456789")
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == sorted(names)


@pytest.mark.parametrize("prefix", ["train", "t10k", "test"])
def test_one_pair_of_idx_files_has_no_test_split(tmp_path, prefix):
    folder = write_folder(tmp_path, [f"{prefix}-images", f"{prefix}-labels.gz"])
    images = Idx(str(folder)).read(folder)
    assert images.test_from is None
    assert len(images.x) == 40


@pytest.mark.parametrize("mirrors", [False, True])
def test_whether_images_may_be_mirrored_stands_in_the_spec(tmp_path, mirrors):
    write_idx(tmp_path / "train-images-idx3-ubyte", gray(40))
    write_idx(tmp_path / "train-labels-idx1-ubyte", labels(40))
    images = Idx(str(tmp_path), mirrors=mirrors).read(tmp_path)
    preprocess.preprocess("mine", images, tmp_path / "data", test=0.3, val=0.3)
    assert read_json(tmp_path / "data/spec.json")["mirrors"] == mirrors


def test_color_images_of_idx_files_are_read_channels_first(tmp_path):
    write_idx(tmp_path / "train-images-idx4-ubyte", gray(20, channels=3))
    write_idx(tmp_path / "train-labels-idx1-ubyte", labels(20))
    assert np.array_equal(Idx(str(tmp_path)).read(tmp_path).x, gray(20, channels=3).transpose(0, 3, 1, 2))


FAULTS = {
    "truncated": ("train-images", lambda raw: raw[:-1], r"train-images: truncated, 1439 bytes .* 40 x 6 x 6 = 1440"),
    "too long": ("train-images", lambda raw: raw + b"!", r"train-images: too long, 1441 bytes"),
    "header cut": ("train-labels", lambda raw: raw[:6], r"train-labels: truncated, it ends within its header"),
    "empty": ("train-labels", lambda raw: b"", r"train-labels: not an IDX file \(its magic number is missing\)"),
    "other file": ("train-images", lambda raw: b"\x89PNG" + raw, r"train-images: not an IDX file .*89504e47"),
    "floats": ("train-images", lambda raw: idx_bytes(gray(40).astype(">f4"), 0x0D), "train-images: holds floats"),
    "no image": ("train-images", lambda raw: idx_bytes(gray(0)), "train-images: holds no image"),
    "huge": ("train-images", lambda raw: struct.pack(">4B3I", 0, 0, 8, 3, *[2**32 - 1] * 3), "train-images: truncated, 0 bytes"),
    "swapped": ("train-images", lambda raw: idx_bytes(labels(40)), "train-images: 1 sizes; images have 3"),
    "channels first": ("train-images", lambda raw: idx_bytes(np.zeros((40, 3, 6, 6), np.uint8)), "train-images: 6 channels"),
    "image as labels": ("train-labels", lambda raw: idx_bytes(gray(40)), "train-labels: 3 sizes; labels have 1"),
    "count": ("train-labels", lambda raw: idx_bytes(labels(39)), "train-labels: 39 labels for the 40 images of train-images"),
    "labels from 1": ("train-labels", lambda raw: idx_bytes(labels(40) + 1), "train-labels: labels go up to 10, but none is 0"),
    "gap": ("train-labels", lambda raw: idx_bytes(labels(40) * 2), "train-labels: labels go up to 18, but none is 1"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_idx_file_is_named(tmp_path, fault):
    write_folder(tmp_path, ["train-images", "train-labels"])
    name, broken, message = FAULTS[fault]
    (tmp_path / name).write_bytes(broken((tmp_path / name).read_bytes()))
    with pytest.raises(DatasetError, match=message):
        Idx(str(tmp_path)).read(tmp_path)


@pytest.mark.parametrize("broken", [lambda raw: raw[:-20], lambda raw: raw[:40] + b"\xff" * 9 + raw[49:], lambda raw: raw[2:]])
def test_broken_gzip_is_named(tmp_path, broken):
    write_folder(tmp_path, NAMES[:2])
    (tmp_path / NAMES[0]).write_bytes(broken((tmp_path / NAMES[0]).read_bytes()))
    with pytest.raises(DatasetError, match=r"train-images-idx3-ubyte.gz: truncated or not readable"):
        Idx(str(tmp_path)).read(tmp_path)


def test_test_images_of_another_size_are_refused(tmp_path):
    write_folder(tmp_path)
    write_idx(tmp_path / NAMES[2], gray(20, size=7))
    with pytest.raises(DatasetError, match=r"t10k-images.*7 x 7 pixels and 1 channel, but 6 x 6 pixels"):
        Idx(str(tmp_path)).read(tmp_path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "no IDX files; train-images"),
        (["train-images"], r"train-images is there, but no train-labels\*"),
        (["t10k-labels", "train-images", "train-labels"], r"t10k-labels is there, but no t10k-images\*"),
        (["train-images", "train-images.gz", "train-labels"], "train-images and train-images.gz: only one of them can be read"),
        (["t10k-images", "t10k-labels", "test-images", "test-labels"], r"both t10k-\* and test-\*"),
    ],
)
def test_an_incomplete_folder_is_refused_with_the_missing_file(tmp_path, names, message):
    for name in names:
        write_idx(tmp_path / name, labels(10))
    with pytest.raises(DatasetError, match=message):
        Idx(str(tmp_path)).download(tmp_path, tmp_path)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DatasetError, match="nowhere: there is no such folder"):
        Idx(str(tmp_path / "nowhere")).download(tmp_path, tmp_path)


@pytest.mark.skipif(not MNIST_20K.is_dir(), reason=f"no {MNIST_20K}; POFXY_SHARED_DATA names the folder that holds it")
def test_real_mnist(tmp_path):
    images = download_and_read(Idx(str(MNIST_20K)), tmp_path / "raw", tmp_path / "none")
    assert (images.x.shape, images.test_from) == ((29690, 1, 28, 28), 19690)
    assert np.bincount(images.y[19690:]).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    parts = preprocess.split(images)
    assert {part: len(index) for part, index in parts.items()} == {"train": 17721, "val": 1969, "test": 10000}
    # The MD5 of the official file.
    assert md5(MNIST_20K / NAMES[2]) == "9fb629c4189551a2d022fa330f9573f3"


# Published files


@pytest.mark.slow
@pytest.mark.parametrize(("name", "dataset"), [("MNIST", MNIST), ("FashionMNIST", FashionMNIST)])
def test_download_tries_the_next_mirror(tmp_path, served, closed, published, name, dataset):
    folder, url = served
    published(name, write_folder(folder), [closed, url + "nowhere/", url])
    images = download_and_read(dataset(), tmp_path / "raw", tmp_path / "downloads/mine")
    assert len(images.x) == 60
    assert images.test_from == 40
    assert len(images.class_names) == 10
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == sorted(NAMES)
    assert socket.getdefaulttimeout() is None


def test_a_corrupted_download_is_refused(tmp_path, served, published):
    folder, url = served
    published("MNIST", write_folder(folder), [url])
    (folder / NAMES[1]).write_bytes((folder / NAMES[1]).read_bytes()[:-3])
    with pytest.raises(DownloadError, match=r"mnist: cannot download train-labels-idx1-ubyte.gz \(127.0.0.1:\d+: .*corrupted"):
        download_and_read(MNIST(), tmp_path / "raw", tmp_path / "downloads/mnist")
    assert [path.name for path in (tmp_path / "raw").iterdir()] == [NAMES[0]]


def test_without_a_network_the_error_says_which_files_to_put_where(tmp_path, closed, published):
    published("MNIST", write_folder(tmp_path / "made"), [closed, closed])
    with pytest.raises(DownloadError) as caught:
        download_and_read(MNIST(), tmp_path / "raw", Path("downloads/mnist"))
    message = str(caught.value)
    assert message.startswith("mnist: cannot download train-images-idx3-ubyte.gz (127.0.0.1:")
    assert "Connection refused" in message
    assert message.endswith(f"put {', '.join(NAMES)} into downloads/mnist/ and run again")
    assert "\n" not in message


def test_offered_files_are_copied_and_only_the_others_downloaded(tmp_path, closed, published):
    offered = write_folder(tmp_path / "downloads/mnist")
    published("MNIST", offered, [closed])
    assert len(download_and_read(MNIST(), tmp_path / "raw", offered).x) == 60
    (offered / NAMES[3]).unlink()
    with pytest.raises(DownloadError, match=rf"put {NAMES[3]} into .*downloads/mnist/ and run again$"):
        download_and_read(MNIST(), tmp_path / "again", offered)


def test_an_offered_file_with_another_checksum_is_refused_by_name(tmp_path, closed, published):
    offered = write_folder(tmp_path / "downloads/mnist")
    published("MNIST", offered, [closed])
    write_idx(offered / NAMES[2], gray(20, seed=9))
    with pytest.raises(DownloadError, match=r"downloads/mnist/t10k-images-idx3-ubyte.gz: its MD5 is"):
        download_and_read(MNIST(), tmp_path / "raw", offered)
    assert not (tmp_path / "raw" / NAMES[2]).exists()


# CIFAR-10


def cifar_records(n: int, seed: int) -> np.ndarray:
    """Records of CIFAR-10's binary version, (n, 1 + 3072) uint8: a label and an image."""
    return np.concatenate([labels(n)[:, None], gray(n * 3, size=32, seed=seed).reshape(n, 3072)], axis=1)


def write_cifar(path: Path, batches: Sequence[bytes], names: Sequence[str] = cifar10.MEMBERS) -> Path:
    """Writes the archive of CIFAR-10, with a file outside of its folder and a file that is no batch."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in [
            *zip(names, batches),
            ("../../escaped.txt", b"out"),
            ("cifar-10-batches-bin/readme.html", b"hello"),
        ]:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def small_cifar(tmp_path, monkeypatch):
    batches = [cifar_records(10, seed) for seed in range(6)]
    path = write_cifar(tmp_path / "downloads/cifar10" / cifar10.FILE, [batch.tobytes() for batch in batches])
    monkeypatch.setattr(cifar10, "MD5", md5(path))
    return path.parent, batches


def test_cifar_reads_the_binary_version(tmp_path, small_cifar):
    offered, batches = small_cifar
    images = download_and_read(CIFAR10(), tmp_path / "raw", offered)
    records = np.concatenate(batches)
    assert (images.x.shape, images.test_from, images.x.dtype) == ((60, 3, 32, 32), 50, np.uint8)
    assert np.array_equal(images.x.reshape(60, -1), records[:, 1:])
    assert np.array_equal(images.y, records[:, 0])
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()].count(cifar10.FILE) == 2
    assert not list(tmp_path.parent.rglob("escaped.txt"))


def test_cifar_names_a_broken_member(tmp_path):
    whole = cifar_records(10, 0).tobytes()
    write_cifar(tmp_path / cifar10.FILE, [whole] * 5)
    with pytest.raises(DatasetError, match=r"test_batch.bin has 0 bytes"):
        CIFAR10().read(tmp_path)
    write_cifar(tmp_path / cifar10.FILE, [whole, whole[:-1], *[whole] * 4])
    with pytest.raises(DatasetError, match=r"data_batch_2.bin has 30729 bytes"):
        CIFAR10().read(tmp_path)
    write_cifar(tmp_path / cifar10.FILE, [whole] * 5 + [b"\x0b" + whole[1:]])
    with pytest.raises(DatasetError, match=r"test_batch.bin has a label 11"):
        CIFAR10().read(tmp_path)
    content = (tmp_path / cifar10.FILE).read_bytes()
    (tmp_path / cifar10.FILE).write_bytes(content[: len(content) // 2])
    with pytest.raises(DatasetError, match=r"cifar-10-binary.tar.gz: truncated or not readable"):
        CIFAR10().read(tmp_path)


def test_cifar_without_a_network_says_what_to_put_where(tmp_path, closed, monkeypatch):
    monkeypatch.setattr(cifar10, "MIRRORS", [closed])
    with pytest.raises(
        DownloadError, match=r"^cifar10: cannot download .* put cifar-10-binary.tar.gz into downloads/cifar10/ and"
    ):
        download_and_read(CIFAR10(), tmp_path / "raw", Path("downloads/cifar10"))


# What the catalog reads


def test_every_data_set_opens_by_its_name():
    assert {"digits", "mnist", "fashion_mnist", "cifar10", "idx", "gaussians", "known_images"} <= set(catalog.datasets())
    for name, entry in catalog.datasets().items():
        dataset = open_dataset(name, dict.fromkeys(entry.parameters, "somewhere"))
        assert type(dataset).__name__ == entry.public
        assert dataset.download
        assert dataset.read


def test_preprocessing_needs_no_torch():
    code = "import sys; from pofxy.data import preprocess; from pofxy.data.datasets import open_dataset; "
    code += "open_dataset('mnist', {}); open_dataset('cifar10', {}); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})


@pytest.mark.slow
def test_torchvision_imports_beside_the_installed_torch():
    code = "from pofxy.data.torchvision_compat import import_torchvision as get; assert get() is get(); "
    code += "import torchvision.datasets, torchvision.transforms.v2, torchvision.models, torchvision.utils"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})


# Splits


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return download_and_read(Digits(), tmp_path_factory.mktemp("digits"), Path("none"))


def labelled_images(counts: Sequence[int], size: int = 2, test_from: int | None = None, levels: int = 256) -> LabelledData:
    """Random images with so many of each class."""
    y = np.repeat(np.arange(len(counts)), counts)
    x = (gray(len(y), size)[:, None] % np.uint16(levels)).astype(np.uint8)
    return LabelledData(x, y, levels, tuple(f"c{k}" for k in range(len(counts))), test_from)


def test_digits_are_split_with_the_default_shares(digits):
    parts = preprocess.split(digits)
    assert {part: len(index) for part, index in parts.items()} == {"train": 1257, "val": 180, "test": 360}


@pytest.mark.parametrize("official", [False, True])
def test_splits_are_stratified_disjoint_complete_and_depend_on_the_seed(digits, official):
    images = LabelledData(digits.x, digits.y, 17, digits.class_names, 1500 if official else None)
    parts = preprocess.split(images, test=0.25, val=0.15, seed=3)
    assert np.array_equal(np.sort(np.concatenate(list(parts.values()))), np.arange(1797))
    if official:
        assert sorted(parts["test"]) == list(range(1500, 1797))
        assert len(parts["val"]) == 225
    stratified = ["train", "val"] if official else ["train", "val", "test"]
    whole = np.concatenate([parts[part] for part in stratified])
    share = np.bincount(digits.y[whole]) / len(whole)
    for part in stratified:
        assert np.abs(np.bincount(digits.y[parts[part]]) - share * len(parts[part])).max() <= 1
    again = preprocess.split(images, 0.25, 0.15, seed=3)
    other = preprocess.split(images, 0.25, 0.15, seed=4)
    assert all(np.array_equal(parts[part], again[part]) for part in parts)
    assert not any(np.array_equal(parts[part], other[part]) for part in parts)


def test_shares_are_rounded_up_without_floating_point_error():
    parts = preprocess.split(labelled_images([50, 50]), test=0.07, val=0.29)
    assert (len(parts["test"]), len(parts["val"])) == (7, 29)


@pytest.mark.parametrize(
    ("images", "shares", "message"),
    [
        (labelled_images([40, 1]), {}, "mine: class c1 has too few images, 1 in all: 1 for train and test"),
        (labelled_images([40, 2]), {}, "mine: class c1 has too few images, 2 in all: 0 for test"),
        (labelled_images([40, 0, 40]), {}, "mine: class c1 has too few images, 0 in all"),
        (labelled_images([40, 20], test_from=40), {}, "mine: class c0 has too few images, 40 in all: 0 for test"),
        (labelled_images([40]), {}, "mine: only one class, c0"),
        (labelled_images([10] * 5), {"val": 0.05}, r"mine: split.val: 3 of 40 images; 5 classes need at least 5"),
        (labelled_images([10] * 5), {"test": 0.6, "val": 0.5}, r"mine: split.val: 25 of 20 images"),
        (
            LabelledData(gray(4)[:, None], np.array([0, 1, 2, 1]), 256, ("a", "b")),
            {},
            r"mine: labels 0..2; with 2 classes they are 0..1",
        ),
        (LabelledData(gray(4)[:, None], np.array([0, -1, 0, 1]), 256, ("a", "b")), {}, r"mine: labels -1..1"),
        (
            LabelledData(gray(4)[:, None], np.array([0, 1, 0, 1]), 17, ("a", "b")),
            {},
            r"mine: a pixel has gray level \d+; with 17 levels",
        ),
        (LabelledData(gray(4), np.array([0, 1, 0, 1]), 17, ("a", "b")), {}, r"mine: uint8 images \(4, 6, 6\) and 4 labels"),
    ],
)
def test_data_that_cannot_be_split_is_refused_with_the_cause(images, shares, message):
    with pytest.raises(DatasetError, match=message):
        preprocess.split(images, **shares, name="mine")


# Arrays and audit


@pytest.mark.parametrize("block", [7, 4096])
def test_written_arrays_are_the_gray_levels_divided_by_the_highest(tmp_path, digits, monkeypatch, block):
    monkeypatch.setattr(preprocess, "BLOCK", block)
    parts = preprocess.split(digits)
    preprocess.write(digits, parts, tmp_path)
    for part, index in parts.items():
        x = np.load(tmp_path / f"{part}_x.npy", mmap_mode="r")
        y = np.load(tmp_path / f"{part}_y.npy", mmap_mode="r")
        assert (x.dtype, y.dtype, x.shape) == (np.float32, np.int64, (len(index), 1, 8, 8))
        assert np.array_equal(x, digits.x[index].astype(np.float32) / np.float32(16))
        assert np.array_equal(y, digits.y[index])
    assert len(list(tmp_path.iterdir())) == 6


def test_every_gray_level_is_recovered_from_its_float(tmp_path):
    q = np.arange(256, dtype=np.uint8).repeat(3).reshape(-1, 3, 1, 1)
    images = LabelledData(q, labels(256, 2).astype(np.int64), 256, ("a", "b"))
    preprocess.write(images, {"train": np.arange(256)}, tmp_path)
    x = np.load(tmp_path / "train_x.npy")
    assert np.array_equal(x, q / np.float32(255))
    assert np.array_equal(np.rint(x * 255), q)


def test_preprocess_writes_every_output_of_the_rule(tmp_path, digits):
    from pofxy.storage.models import load_spec

    preprocess.preprocess("mine", digits, tmp_path, test=0.2, val=0.1, seed=5)
    spec = load_spec(tmp_path / "spec.json")
    audit = read_json(tmp_path / "audit.json")
    assert (spec.name, spec.shape, spec.classes, spec.levels, spec.class_names) == (
        "mine",
        (1, 8, 8),
        10,
        17,
        tuple("0123456789"),
    )
    assert audit["split"] == {"seed": 5, "val": 0.1, "test": 0.2, "official_test": False}
    assert audit["levels"] == {"declared": 17, "used": 17, "lowest": 0, "highest": 16}
    assert {part: sum(count) for part, count in audit["counts"].items()} == {"train": 1257, "val": 180, "test": 360}
    assert audit["duplicates"] == {"within_train": 0, "val_in_train": 0, "test_in_train": 0}
    for name, digest in audit["sha256"].items():
        assert digest == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    written = {f"{part}_{letter}.npy" for part in ("train", "val", "test") for letter in "xy"}
    assert set(audit["sha256"]) == written
    assert {path.name for path in tmp_path.iterdir()} == written | {"spec.json", "audit.json"}


def test_the_audit_finds_planted_duplicates_and_constant_pixels(tmp_path):
    images = labelled_images([30, 30], size=4, levels=100)
    images.x[:, 0, 0, :2] = 7
    parts = preprocess.split(images, seed=1)
    train = parts["train"]
    val = parts["val"]
    test = parts["test"]
    images.x[train[[1, 2, 3]]] = images.x[train[0]]
    images.x[test[:2]] = images.x[train[5]]
    images.x[val[0]] = images.x[train[6]]
    preprocess.write(images, parts, tmp_path)
    audit = preprocess.audit(images, parts, tmp_path)
    assert audit["duplicates"] == {"within_train": 3, "val_in_train": 1, "test_in_train": 2}
    assert audit["constant_pixels"] == 2
    used = np.unique(images.x)
    assert audit["levels"] == {"declared": 100, "used": len(used), "lowest": used[0], "highest": used[-1]}
    assert audit["counts"]["train"] == np.bincount(images.y[train]).tolist()
    json.dumps(audit)


# Tables, and samples of known distributions


def rows(n: int = 60, columns: int = 3, classes: int = 3, seed: int = 0) -> LabelledData:
    """A random table."""
    x = np.random.default_rng(seed).random((n, columns)).astype(np.float32)
    return LabelledData(x, np.arange(n) % classes, None, tuple("abc"[:classes]))


def test_a_table_is_written_unchanged_and_audited_by_column(tmp_path):
    from pofxy.storage.models import load_spec

    data = rows()
    data.x[:, 1] = 0.5
    data.x[7] = data.x[5]
    preprocess.preprocess("mine", data, tmp_path, seed=4)
    parts = preprocess.split(data, seed=4)
    for part, index in parts.items():
        x = np.load(tmp_path / f"{part}_x.npy")
        assert x.dtype == np.float32 and np.array_equal(x, data.x[index])
        assert np.array_equal(np.load(tmp_path / f"{part}_y.npy"), data.y[index])
    spec = load_spec(tmp_path / "spec.json")
    audit = read_json(tmp_path / "audit.json")
    assert (spec.shape, spec.levels, spec.classes, spec.distribution) == ((3,), None, 3, None)
    assert audit["columns"]["lowest"] == pytest.approx(data.x.min(0)) and audit["columns"]["lowest"][1] == 0.5
    assert audit["columns"]["highest"] == pytest.approx(data.x.max(0))
    assert audit["constant_columns"] == 1 and sum(audit["duplicates"].values()) == 1
    assert not {"levels", "constant_pixels", "known_distribution"} & set(audit)
    assert {part: sum(count) for part, count in audit["counts"].items()} == {"train": 42, "val": 6, "test": 12}


def changed(where: tuple, value: float) -> LabelledData:
    """A random table in which some numbers are replaced."""
    data = rows()
    data.x[where] = value
    return data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (changed((4, 1), np.nan), r"mine: 1 of 60 rows have a number that is NaN or infinite"),
        (changed((slice(3), 0), np.inf), r"mine: 3 of 60 rows have a number that is NaN or infinite"),
        (changed((4, 1), 7.5), r"mine: column 2 of 3 reaches from \S+ to 7.5; all numbers must be in 0..1, scale them to it"),
        (changed((4, 2), -0.25), r"mine: column 3 of 3 reaches from -0.25 to \S+; all numbers must be in 0..1"),
        (
            LabelledData(rows().x[:, None], rows().y, None, tuple("abc")),
            r"mine: float32 rows \(60, 1, 3\) and 60 labels; float32 \(N, D\)",
        ),
        (LabelledData(rows().x.astype(float), rows().y, None, tuple("abc")), r"mine: float64 rows \(60, 3\) and 60 labels"),
        (LabelledData(rows().x, rows().y[:50], None, tuple("abc")), r"mine: float32 rows \(60, 3\) and 50 labels"),
        (LabelledData(rows().x[:, :0], rows().y, None, tuple("abc")), r"mine: there is no row or no column"),
        (
            LabelledData(rows().x, np.arange(60) // 59, None, ("a", "b")),
            r"mine: class b has too few rows, 1 in all: 1 for train and test",
        ),
        (rows(7), r"mine: split.test: 2 of 7 rows; 3 classes need at least 3"),
        (LabelledData(rows().x, rows().y, 17, tuple("abc")), r"mine: float32 images \(60, 3\) and 60 labels; uint8"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_with_the_cause_in_one_line(data, message):
    with pytest.raises(DatasetError, match=message) as caught:
        preprocess.split(data, name="mine")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "n"), [("gaussians", 1500), ("known_images", 2000)])
def test_the_audit_of_samples_of_a_known_distribution_has_its_ground_truth(name, n, tmp_path):
    from pofxy.data.known_distributions import open_distribution
    from pofxy.storage.models import load_spec

    data = download_and_read(open_dataset(name, {}), tmp_path / "raw", tmp_path / "none")
    assert len(data.x) == len(data.y) == n and set(data.y) == set(range(len(data.class_names)))
    preprocess.preprocess(name, data, tmp_path / "data")
    spec = load_spec(tmp_path / "data/spec.json")
    audit = read_json(tmp_path / "data/audit.json")
    assert spec.distribution == {"of": name}
    assert audit["known_distribution"] == open_distribution(spec.distribution).ground_truth()
    assert (spec.levels is None) == (name == "gaussians") and spec.shape == data.x.shape[1:]
    again = download_and_read(open_dataset(name, {"n": 50, "seed": 0}), tmp_path / "again", tmp_path / "none")
    other = download_and_read(open_dataset(name, {"n": 50, "seed": 1}), tmp_path / "other", tmp_path / "none")
    assert len(again.x) == 50 and not np.array_equal(again.x, other.x)


def test_the_catalog_reads_the_class_attributes_of_a_data_set():
    entries = {name: (entry.table, entry.distribution) for name, entry in catalog.datasets().items()}
    assert entries["gaussians"] == (True, "gaussians")
    assert entries["known_images"] == (False, "known_images")
    assert entries["digits"] == (False, "")


# Files and scripts


def test_a_file_takes_its_place_only_when_it_is_whole(tmp_path):
    (tmp_path / "old.txt").write_text("old")
    with pytest.raises(TypeError), atomic(tmp_path / "old.txt") as temporary:
        temporary.write_text("half") + "more"
    assert (tmp_path / "old.txt").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(FileError, match=r"old.txt: Expecting value"):
        read_json(tmp_path / "old.txt")


@pytest.mark.slow
def test_the_rules_write_the_arrays(tmp_path):
    write_folder(tmp_path / "small")
    study = {"study": "small", "datasets": ["idx:small"], "models": ["logistic_regression"], "split": {"val": 0.25}}
    (tmp_path / "study.yaml").write_text(json.dumps(study))
    command = [sys.executable, "-m", "snakemake", "-s", ROOT / "Snakefile", "--directory", tmp_path, "--cores", "1"]
    command += ["--configfile", tmp_path / "study.yaml", "--", "results/data/small/audit.json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    counts = read_json(tmp_path / "results/data/small/audit.json")["counts"]
    assert counts == {"train": [3] * 10, "val": [1] * 10, "test": [2] * 10}
