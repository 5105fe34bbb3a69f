"""What every evaluation starts from: the fitted model, the data, the samples and the nets that compare them."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from pofxy.base.data import DataSpec
from pofxy.base.prediction import best_device
from pofxy.data import splits
from pofxy.storage.models import load_model, load_spec

# By name; the catalog reads these, and docs/metrics.md shows them.
FACTS = {
    "model": "the fitted model",
    "spec": "the facts of the data set, a DataSpec",
    "x": "the images or rows of the test split, (N, ...)",
    "y": "the labels of the test split, (N,)",
    "x_train": "the images or rows of the train split, (M, ...)",
    "y_train": "the labels of the train split, (M,)",
    "samples": "the model's samples, (n, ...); None for a model that has none",
    "requested_labels": "the labels that the samples were requested for, (n,), -1 where there were none; None without samples",
    "feature_net": "the data set's own feature net; None where nothing needs it",
    "inception": "the standard feature net, Inception-v3; None where the config does not name its weights",
    "other_images": "images of other data sets, by name; empty where the config names none",
    "seed": "the seed of the run",
}


@dataclass(frozen=True)
class Facts:
    """The facts of one run, opened when they are first needed.

    Attributes:
        openers: by the names in FACTS.
        digests: what names the content of each, so that what was computed of it can be kept; none where nothing is kept.
    """

    openers: Mapping[str, Callable[[], object]]
    digests: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, **given: object) -> "Facts":
        """Facts that are at hand. Those that are not named are None, and `other_images` is empty, `seed` 0."""
        if unknown := set(given) - set(FACTS):
            raise TypeError(f"no facts: {', '.join(sorted(unknown))}")
        values: dict[str, Any] = dict.fromkeys(FACTS) | {"other_images": {}, "seed": 0} | given
        openers = {name: lambda value=value: value for name, value in values.items()}
        return cls(openers | {"x": lambda: _of_shape(values["x"], values["spec"])})


def open_facts(
    *,
    model: str,
    spec: str,
    test: Sequence[str],
    train: Sequence[str],
    samples: Sequence[str],
    feature_net: Sequence[str],
    others: Sequence[str],
    inception: str | None,
    seed: int,
    code: Mapping[str, str],
) -> Facts:
    """The facts of a run from its files, each opened when it is first needed.

    Args:
        model: folder of the fitted model.
        spec: spec.json of the data set.
        test, train: x and y of the split.
        samples: images and requested labels; empty for a model without samples.
        feature_net: folder of the data set's feature net, first of what may follow it; empty where nothing needs it.
        others: test images of other data sets.
        inception: weights of the standard feature net: a file, "download", or None.
        seed: of the run.
        code: fingerprints of the code of the model by "model", and of the feature net by "feature_net".
    """
    openers: dict[str, Callable[[], object]] = {
        "model": lambda: load_model(model),
        "spec": lambda: load_spec(spec),
        "x": lambda: _of_shape(splits.load(test[0]), load_spec(spec)),
        "y": lambda: splits.load(test[1]),
        "x_train": lambda: splits.load(train[0]),
        "y_train": lambda: splits.load(train[1]),
        "samples": lambda: splits.load(samples[0]) if samples else None,
        "requested_labels": lambda: splits.load(samples[1]) if samples else None,
        "feature_net": lambda: load_model(feature_net[0]) if feature_net else None,
        "inception": lambda: open_inception(inception),
        "other_images": lambda: {Path(path).parent.name: splits.load(path) for path in others},
        "seed": lambda: seed,
    }
    digests = {
        "model": f"{content_digest(model)} {code['model']}",
        "spec": content_digest(spec),
        "x": content_digest(test[0]),
        "y": content_digest(test[1]),
        "x_train": content_digest(train[0]),
        "y_train": content_digest(train[1]),
        "samples": content_digest(*samples[:1]),
        "requested_labels": content_digest(*samples[1:]),
        "feature_net": f"{content_digest(*feature_net[:1])} {code['feature_net']}",
        "inception": content_digest(inception) if inception and Path(inception).is_file() else str(inception),
        "other_images": content_digest(*others),
        "seed": str(seed),
    }
    return Facts(openers, digests)


def _of_shape(x: Tensor, spec: DataSpec) -> Tensor:
    if tuple(x.shape[1:]) != spec.shape:
        raise ValueError(f"{spec.name}: the test images are {tuple(x.shape[1:])}, and the models were fitted on {spec.shape}")
    return x


def content_digest(*paths: str | Path) -> str:
    """Names the content of files, and of all files in folders."""
    digest = hashlib.sha256()
    for path in map(Path, paths):
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                digest.update(f"{file.name} {file.stat().st_size}\n".encode())
                with file.open("rb") as opened:
                    digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()[:32]


def open_inception(weights: str | None):
    """The standard feature net with the weights that the config names; None where it names none."""
    if weights is None:
        return None
    from pofxy.evaluation.inception import Inception  # it imports torchvision

    return Inception(weights).to(best_device())
