"""The verbs of a model, their shapes and units, and what passes between a model and the rest of the house.

Shape letters, everywhere in this package:
    N images or rows, B of them in a batch, n to sample;  K classes;  D = C H W numbers of one image, or columns of a table;
    C channels, H height, W width;  L grey levels;  Z dimensions of a code.

Arrays are torch tensors: x float32 in [0, 1], (N, C, H, W) for images and (N, D) for tables; y int64 in 0..K-1. A model is a
`torch.nn.Module` with a method `build(spec)` that makes its layers and buffers, or holds one scikit-learn `estimator`. Random
draws come from the global generators, which the caller seeds (`seeded`).

A pixel of an L-level image lies on the grid 0, 1/(L-1), .. 1. Its bin is the interval of width 1/(L-1) around it; a density of
images is one over these coordinates, and uniform dequantisation draws a point of the bin (`dequantise`).
"""

import inspect
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

# What a model can do besides `fit`, by method name. A model has the method or it cannot do it.
VERBS = {
    "predict": "x -> (N,) int64 labels",
    "decision_function": "x -> (N, K) scores, the largest for the label that predict gives; torch can differentiate them by x",
    "predict_proba": "x -> (N, K), rows sum to 1",
    "log_joint": "x -> (N, K) nats, log p(x, y)",
    "log_joint_known": "x, known (N, ...) bool -> (N, K) nats, log p(known part of x, y), the rest integrated out exactly",
    "log_prob": "x -> (N,) nats, log p(x), exact: a mass over L-level images; a density if the class says `measure = 'density'`; "
    "where it is an unbiased estimate instead, the class names how it is found: `estimator = '...'`",
    "log_weight": "x -> (N,) nats, log p(x, z) - log q(z | x) for one z drawn from q: its exponential is p(x) in the mean",
    "log_prob_bound": "x -> (N,) nats, a lower bound of log p(x); the class names it: `bound = 'diffusion bound'`",
    "log_joint_bound": "x -> (N, K) nats, a lower bound of log p(x, y) for every y",
    "log_unnormalized": "x -> (N,) nats, log p(x) + log Z, or below it, and then the class names the bound. For log Z the class "
    "has a path of laws over states s (n, ...), from beta 0, its normaliser 1, to beta 1, its normaliser Z: "
    "`log_annealed(s, beta)` (n,) nats, `gibbs_step(s, beta)`, a step that leaves the law at beta as it is, `base_sample(n)`, "
    "exact draws at beta 0, and `state_of(x)`, a draw of the state that belongs to an image",
    "sample": "n, labels (n,) int64 or None -> (n, C, H, W) in [0, 1]; `conditional = True` where labels are heeded",
    "sample_text": "n prompts -> (n, C, H, W) in [0, 1]; `captions(label)` gives the wordings it learned from, and some held out",
    "reconstruct": "x -> its shape, in [0, 1]",
    "inpaint": "x, mask (1 where known) -> shape of x, in [0, 1]",
    "encode": "x -> (N, Z)",
    "decode": "z (N, Z) -> (N, ...) in [0, 1], the image that stands for a code",
}


@dataclass(frozen=True)
class Spec:
    """What is known of a data set before any of its data is seen.

    Attributes:
        name: of the data set.
        shape: of one x: (C, H, W) or (D,).
        classes: K.
        levels: L, the number of grey levels; None for tables.
        class_names: K names, in the order of the labels.
        mirrors: whether an image seen in a mirror is as likely and of the same class: so for photographs, not for digits.
        law: the distribution that the data were drawn from, as `laws.open_law` takes it; None where it is not known.
    """

    name: str
    shape: tuple[int, ...]
    classes: int
    levels: int | None
    class_names: tuple[str, ...]
    mirrors: bool = False
    law: dict | None = None


@dataclass(frozen=True)
class Data:
    """What a model is fitted on: the train split, and the val split for every choice made on the way. Never the test split."""

    spec: Spec
    x: Tensor
    y: Tensor
    x_val: Tensor
    y_val: Tensor


@dataclass(frozen=True)
class Picture:
    """What a model learned, to look at: `picture(x, y)` of a model gives one, for test images x (N, C, H, W), y (N,).

    Attributes:
        images: (n, C, H, W); in [0, 1], or of any size and sign where `signed`.
        columns: images in a row.
        caption: what they show, a sentence for the report.
        signed: drawn blue below 0 and red above, the larger the stronger.
        side: height of one image as it is drawn, in pixels of the report.
    """

    images: Tensor
    columns: int
    caption: str
    signed: bool = False
    side: int = 56


class FromProbabilities:
    """`predict` for a model that has `predict_proba`."""

    def predict(self, x: Tensor) -> Tensor:
        """The most probable label, (N,)."""
        return self.predict_proba(x).argmax(1)


class FromScores:
    """`predict` for a model that has `decision_function`."""

    def predict(self, x: Tensor) -> Tensor:
        """The label of the largest score, (N,)."""
        return self.decision_function(x).argmax(1)


class FromLogits(FromScores):
    """A net whose scores are log p(y | x) but for a constant."""

    def predict_proba(self, x: Tensor) -> Tensor:
        """p(y | x) = exp(s_y) / sum_k exp(s_k), (N, K)."""
        return self.decision_function(x).softmax(1)


class FromEstimator:
    """A model whose `estimator` is a classifier of scikit-learn: `fit` and `predict` on rows of pixels or columns."""

    def fit(self, data: Data, trainer) -> None:
        """Fits on the train split; there is nothing to train in steps."""
        self.estimator.fit(data.x.flatten(1).numpy(), data.y.numpy())  # (N, C, H, W) -> (N, D)

    def predict(self, x: Tensor) -> Tensor:
        """The estimator's own label, (N,)."""
        return torch.from_numpy(self.estimator.predict(x.flatten(1).numpy()))


class FromEstimatorProbabilities(FromProbabilities, FromEstimator):
    """The same for an estimator with probabilities."""

    def predict_proba(self, x: Tensor) -> Tensor:
        """p(y | x), (N, K)."""
        return torch.from_numpy(self.estimator.predict_proba(x.flatten(1).numpy()))


class FromLinearEstimator(FromEstimator):
    """The same for a linear estimator: its scores are W x + b, here in torch."""

    def decision_function(self, x: Tensor) -> Tensor:
        """W x + b, (N, K)."""
        weight, bias = self.weights()
        return x.flatten(1) @ weight.T + bias

    def weights(self) -> tuple[Tensor, Tensor]:
        """W (K, D) and b (K,), float32; of two classes scikit-learn keeps one row, the second one's."""
        weight, bias = (torch.from_numpy(part).float() for part in (self.estimator.coef_, self.estimator.intercept_))
        return (torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2) if len(weight) == 1 else (weight, bias)

    def count_parameters(self) -> int:
        """W and b, as scikit-learn keeps them."""
        return self.estimator.coef_.size + self.estimator.intercept_.size

    def picture(self, x: Tensor, y: Tensor) -> Picture:
        """The weights of each class as an image."""
        weight = self.weights()[0]
        caption = "The weights of each class: red pixels speak for it, blue ones against it."
        images = weight.view(-1, *x.shape[1:])  # (K, D) -> (K, C, H, W)
        return Picture(images, columns=min(10, len(images)), caption=caption, signed=True)


class FromPrior:
    """A model with the buffer `log_prior` (K,), made by `log_prior(y, K)`, that is asked for samples of a class."""

    def drawn_labels(self, n: int) -> Tensor:
        """n labels drawn from the class prior, (n,): for samples that nobody named a label for."""
        return torch.multinomial(self.log_prior.exp(), n, replacement=True)


class FromJoint(FromPrior, FromProbabilities):
    """Bayes' rule, in this one place: a model that has `log_joint` classifies and gives the density of x."""

    def predict_proba(self, x: Tensor) -> Tensor:
        """p(y | x) = p(x, y) / sum_y p(x, y), (N, K)."""
        return self.log_joint(x).softmax(1)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) = log sum_y p(x, y) in nats, (N,)."""
        return self.log_joint(x).logsumexp(1)


class FromConditional(FromJoint):
    """The same for a model that has `log_conditional(x, y)`, (N,) nats: it is asked for every class in turn."""

    def log_joint(self, x: Tensor) -> Tensor:
        """log p(x, y) = log p(y) + log p(x | y) in nats, (N, K)."""
        return _of_every_class(self.log_conditional, self.log_prior, x)


class FromJointBound(FromPrior, FromProbabilities):
    """The same for a model that knows log p(x, y) from below: `log_joint_bound`. The sum of bounds is a bound of the sum."""

    def predict_proba(self, x: Tensor) -> Tensor:
        """Bayes' rule with the bounds in place of what they bound, (N, K)."""
        return self.log_joint_bound(x).softmax(1)

    def log_prob_bound(self, x: Tensor) -> Tensor:
        """log p(x) >= log sum_y exp(bound of log p(x, y)) in nats, (N,)."""
        return self.log_joint_bound(x).logsumexp(1)


class FromConditionalBound(FromJointBound):
    """The same for a model that has `log_conditional_bound(x, y)`, (N,) nats: it is asked for every class in turn."""

    def log_joint_bound(self, x: Tensor) -> Tensor:
        """log p(x, y) >= log p(y) + bound of log p(x | y) in nats, (N, K)."""
        return _of_every_class(self.log_conditional_bound, self.log_prior, x)


def _of_every_class(log_conditional: Callable[[Tensor, Tensor], Tensor], log_prior: Tensor, x: Tensor) -> Tensor:
    labels = torch.arange(len(log_prior), device=x.device)
    return log_prior + torch.stack([log_conditional(x, k.expand(len(x))) for k in labels], 1)


def log_prior(y: Tensor, classes: int) -> Tensor:
    """log of the share of each class among labels y (N,), (K,)."""
    return (torch.bincount(y, minlength=classes) / len(y)).log()


def validations(data: Data, folds: int = 5) -> list[Data]:
    """What a setting is chosen by: fits to the train part of each, scored on its val part.

    That is the data's own train and val split. A learning curve's subset has no val split but itself, on which the least
    regularised setting would always win: there it is folds of the subset, each with as many images of every class as the others.

    Returns:
        one or more; none where some class has a single image, and nothing can be held out.
    """
    if data.x_val is not data.x:
        return [data]
    counts = torch.bincount(data.y, minlength=data.spec.classes)
    folds = min(folds, int(counts.min()))
    if folds < 2:
        return []
    # The rank of each image within its class, in turn, names its fold.
    order = data.y.argsort(stable=True)
    rank = torch.empty_like(order)
    rank[order] = torch.cat([torch.arange(int(count)) for count in counts])
    parts = [rank % folds == fold for fold in range(folds)]
    return [Data(data.spec, data.x[~part], data.y[~part], data.x[part], data.y[part]) for part in parts]


def check(data: Data) -> None:
    """Raises ValueError, in the data set's name, where no model could be fitted on the data, whatever it is."""
    name, classes = data.spec.name, data.spec.classes
    for part, x, y in (("train", data.x, data.y), ("val", data.x_val, data.y_val)):
        if tuple(x.shape[1:]) != data.spec.shape or len(x) != len(y):
            raise ValueError(
                f"{name}: {part} has x {tuple(x.shape)} and y {tuple(y.shape)}; x of shape (N, {data.spec.shape}) is needed"
            )
        # The sum of finite numbers of modest size is finite, and takes no copy of them.
        if not torch.isfinite(x.sum()) and (bad := int((~x.isfinite()).flatten(1).any(1).sum())):
            raise ValueError(f"{name}: {bad} of {len(x)} rows of {part} have a number that is NaN or infinite")
        if y.min() < 0 or y.max() >= classes:
            raise ValueError(
                f"{name}: {part} has labels {int(y.min())}..{int(y.max())}; with {classes} classes they are 0..{classes - 1}"
            )
    counts = torch.bincount(data.y, minlength=classes)
    if (counts == 0).any():
        missing = data.spec.class_names[int(counts.argmin())]
        raise ValueError(f"{name}: class {missing} has no example in train; every class needs one")
    if classes < 2:
        raise ValueError(f"{name}: one class only; two are needed at least")


def apply(model, verb: str, *rows: Tensor, batch: int = 512) -> Tensor:
    """A verb that maps rows to rows, on any number of rows, in batches, without gradients, on the model's device.

    Args:
        model: a fitted model.
        verb: a method that takes x, and perhaps more of as many rows, and gives one row for each.
        *rows: (N, ...) each, on the CPU.
        batch: rows at once.

    Returns:
        (N, ...) on the CPU.
    """
    device = device_of(model)
    batches = zip(*(part.split(batch) for part in rows), strict=True)
    with inference(model):
        return torch.cat([getattr(model, verb)(*(part.to(device) for part in parts)).cpu() for parts in batches])


def draw(model, n: int, labels: Tensor | None = None, batch: int = 512) -> Tensor:
    """n samples in batches, (n, C, H, W) on the CPU; labels (n,) only where the model is conditional.

    A model that draws without replacement draws all of them at once: `at_once = True`.
    """
    batch = n if getattr(model, "at_once", False) else batch
    sizes = [min(batch, n - start) for start in range(0, n, batch)]
    parts = [None] * len(sizes) if labels is None else [part.to(device_of(model)) for part in labels.split(batch)]
    with inference(model):
        return torch.cat([model.sample(size, part).cpu() for size, part in zip(sizes, parts, strict=True)])


@contextmanager
def evaluation_mode(model) -> Iterator[None]:
    """A torch model in evaluation mode (no dropout, fixed normalisation); afterwards as before."""
    training = isinstance(model, torch.nn.Module) and model.training
    if training:
        model.eval()
    yield
    if training:
        model.train()


@contextmanager
def inference(model) -> Iterator[None]:
    """Evaluation mode and no gradients."""
    with evaluation_mode(model), torch.inference_mode():
        yield


def best_device() -> torch.device:
    """The accelerator that is there, else the CPU."""
    return torch.accelerator.current_accelerator() or torch.device("cpu")


def device_of(model) -> torch.device:
    """Where the model's numbers lie; the CPU for a scikit-learn estimator."""
    if not isinstance(model, torch.nn.Module):
        return torch.device("cpu")
    return next((tensor.device for tensor in [*model.parameters(), *model.buffers()]), torch.device("cpu"))


def seeded(seed: int) -> None:
    """Seeds every global generator that a model may draw from."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def random_state() -> dict:
    """The state of every global generator, as tensors and plain numbers."""
    kind, words, position, has_gauss, gauss = np.random.get_state()
    version, internal, gauss_next = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "accelerator": torch.get_device_module().get_rng_state() if torch.accelerator.is_available() else None,
        "numpy": [kind, torch.from_numpy(words.astype(np.int64)), position, has_gauss, gauss],
        "python": [version, torch.tensor(internal), gauss_next],
    }


def restore_random_state(state: dict) -> None:
    """Puts back what random_state gave."""
    torch.set_rng_state(state["torch"])
    if state["accelerator"] is not None:
        torch.get_device_module().set_rng_state(state["accelerator"])
    kind, words, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((kind, words.numpy().astype(np.uint32), position, has_gauss, gauss))
    version, internal, gauss_next = state["python"]
    random.setstate((version, tuple(internal.tolist()), gauss_next))


def dequantise(x: Tensor, levels: int) -> Tensor:
    """A uniform point of each pixel's bin: x + (u - 1/2) / (L - 1), u ~ U[0, 1). Same shape as x."""
    return x + (torch.rand_like(x) - 0.5) / (levels - 1)


def is_conditional(model) -> bool:
    """Whether `sample` heeds labels."""
    return bool(getattr(model, "conditional", False))


def hyperparameters(model_class) -> dict:
    """Defaults of `__init__`, by name."""
    parameters = inspect.signature(model_class).parameters.items()
    return {name: p.default for name, p in parameters if p.default is not p.empty}
