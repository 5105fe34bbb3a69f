"""pofxy's generative models and well-known implementations of the same models: the same images, the same split, one core.

    python benchmarks/peers.py        prints two tables and writes them to docs/peers.md; it needs the optional extra `peers`

Models in closed form: the largest difference between both implementations. Trained models: their scores on test images after
equal core-seconds of training. A peer is trained with each of several settings, and the best one on val counts; pofxy's models
have their default settings. Both sides have the same learning rate schedule and early stopping on val. Peers train in
float32; the remark says in what precision pofxy's side was trained. benchmarks/pythae_vae.py compares a model in both precisions.
"""

import copy
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from torch import Tensor, nn

import project
from pofxy.base.bayes import log_class_prior
from pofxy.base.data import DataSpec, TrainingData, dequantize
from pofxy.base.hyperparameters import build_model
from pofxy.base.prediction import best_device, inference, predict_batched
from pofxy.base.seeding import seed_everything
from pofxy.base.tags import Tags
from pofxy.data.datasets import open_dataset
from pofxy.data.preprocess import spec, split
from pofxy.evaluation import likelihood
from pofxy.storage.models import load_spec, model_class
from pofxy.training.trainer import Trainer, supports_bfloat16
from pofxy.workflow import cost
from pofxy.workflow.provenance import provenance

PAGE = project.ROOT / "docs/peers.md"
SEED = 0
STEPS_BETWEEN_CHECKS = 20


@dataclass(frozen=True)
class Row:
    """A line of a table: the models that are compared, the score, and its value on both sides."""

    models: str
    score: str
    ours: str
    theirs: str
    remark: str = ""


@dataclass(frozen=True)
class Digits:
    """The default study's data.

    Attributes:
        data: train and val split.
        x: test images, (N, 1, 8, 8).
        y: their labels, (N,).
    """

    data: TrainingData
    x: Tensor
    y: Tensor

    @classmethod
    def read(cls) -> "Digits":
        """Reads and splits the digits as the default study does."""
        dataset = open_dataset("digits", {})
        with tempfile.TemporaryDirectory() as folder:
            dataset.download(Path(folder), Path(folder))
            digits = dataset.read(Path(folder))
        data_spec = load_spec(spec("digits", digits))
        parts = split(digits)
        x = torch.from_numpy(digits.x).float() / (data_spec.levels - 1)
        y = torch.from_numpy(digits.y)
        train, val, test = ((x[parts[name]], y[parts[name]]) for name in ("train", "val", "test"))
        return cls(TrainingData(data_spec, *train, *val), *test)


@dataclass
class RecordingTrainer(Trainer):
    """The training loop, which notes the precision that it was run in.

    Attributes:
        precision: "bfloat16" for mixed precision, else "float32".
    """

    precision: str = field(default="float32", init=False)

    def run(self, *arguments, bfloat16: bool = False, **options) -> None:
        """As in Trainer."""
        if bfloat16 and supports_bfloat16(best_device()):
            self.precision = "bfloat16"
        super().run(*arguments, bfloat16=bfloat16, **options)


def fit_model(name: str, data: TrainingData, **settings: object):
    """One of pofxy's generative models, fitted, the core-seconds of its fit, and the precision of its training."""
    seed_everything(SEED)
    model = build_model(model_class("generative", name), settings)
    trainer = RecordingTrainer()
    with cost.stopwatch() as spent:
        model.fit(data, trainer)
    return model, spent["core_seconds"], trainer.precision


def in_precisions(ours: str) -> str:
    """A remark on the precision of both sides; that of the peer is float32."""
    return "both in float32" if ours == "float32" else f"ours in {ours}, theirs in float32"


# Trained models


@dataclass
class Peer:
    """Another implementation, and how it is trained here.

    Attributes:
        module: the module to train.
        loss: (x, y) of one batch -> nats per image.
        learning_rate: highest learning rate of the cosine schedule.
        best_val_loss: lowest loss on val so far, in nats per image.
    """

    module: nn.Module
    loss: Callable[[Tensor, Tensor], Tensor]
    learning_rate: float
    best_val_loss: float = field(default=math.inf, init=False)

    def train(self, data: TrainingData, core_seconds: float, batch: int = 64) -> None:
        """Trains by Adam for a number of core-seconds; keeps the parameters with the lowest loss on val."""
        seed_everything(SEED)
        optimizer = torch.optim.Adam(self.module.parameters(), fused=True)
        started = time.process_time()
        step = 0
        best_state = copy.deepcopy(self.module.state_dict())
        while (done := (time.process_time() - started) / core_seconds) < 1:
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate * cosine(done)
            index = torch.randint(len(data.x), (batch,))
            optimizer.zero_grad()
            self.loss(data.x[index], data.y[index]).backward()
            nn.utils.clip_grad_norm_(self.module.parameters(), 50.0)
            optimizer.step()
            step += 1
            if step % STEPS_BETWEEN_CHECKS == 0:
                with inference(self.module):
                    val_loss = float(self.loss(data.x_val, data.y_val))
                if val_loss < self.best_val_loss:
                    self.best_val_loss = val_loss
                    best_state = copy.deepcopy(self.module.state_dict())
        self.module.load_state_dict(best_state)
        self.module.eval()


def cosine(done: float) -> float:
    """The learning rate, as a share of the highest one, after a share of the training: from 1 to 0."""
    return 0.5 * (1 + math.cos(math.pi * done))


class StandardizedFlow(nn.Module):
    """A class-conditional flow over standardized dequantized pixels, with the interface of a model of pofxy.

    Args:
        log_density: (x, y) -> (N,) nats, of standardized pixels.
        module: the flow, with its parameters.
        data: its train split gives means and standard deviations.
    """

    tags = Tags(likelihood="density")

    def __init__(self, log_density: Callable[[Tensor, Tensor], Tensor], module: nn.Module, data: TrainingData):
        super().__init__()
        self.module = module
        self.log_density = log_density
        self.levels = data.spec.levels
        noisy = dequantize(data.x, self.levels)
        self.mean = noisy.mean(0)
        self.deviation = noisy.std(0)
        self.log_prior = log_class_prior(data.y, data.spec.classes)

    def log_conditional(self, x: Tensor, y: Tensor) -> Tensor:
        """log p(x | y) in nats, (N,)."""
        return self.log_density((x - self.mean) / self.deviation, y) - self.deviation.log().sum()

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats, (N,)."""
        labels = torch.arange(len(self.log_prior))
        return (self.log_prior + torch.stack([self.log_conditional(x, k.expand(len(x))) for k in labels], 1)).logsumexp(1)

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        """Negative log-likelihood in nats per image."""
        return -self.log_conditional(dequantize(x, self.levels), y).mean()


def spline_flow(data: TrainingData, transforms: int, width: int, learning_rate: float) -> tuple[Peer, StandardizedFlow]:
    """zuko's neural spline flow, class-conditional."""
    import zuko

    classes = data.spec.classes
    flow = zuko.flows.NSF(math.prod(data.spec.shape), classes, transforms=transforms, hidden_features=(width, width))

    def log_density(x, y):
        return flow(nn.functional.one_hot(y, classes).float()).log_prob(x.flatten(1))

    model = StandardizedFlow(log_density, flow, data)
    return Peer(flow, model.loss, learning_rate), model


def normflows_glow(data: TrainingData, blocks: int, width: int, learning_rate: float) -> tuple[Peer, StandardizedFlow]:
    """normflows' Glow with two scales and one base distribution per class."""
    import normflows

    channels, side, _ = data.spec.shape  # square
    bases = []
    flows = []
    n_scales = 2
    for scale in range(n_scales):  # from the base distribution to the image
        n_channels = channels * 2 ** (n_scales + 1 - scale)
        blocks_of_scale = [normflows.flows.GlowBlock(n_channels, width, split_mode="channel") for _ in range(blocks)]
        flows.append([*blocks_of_scale, normflows.flows.Squeeze()])
        # At every scale but the first, half of the channels come from the scale before.
        shape = n_channels if scale == 0 else n_channels // 2, *[side // 2 ** (n_scales - scale)] * 2
        bases.append(normflows.distributions.ClassCondDiagGaussian(shape, data.spec.classes))
    flow = normflows.MultiscaleFlow(bases, flows, [normflows.flows.Merge() for _ in range(n_scales - 1)])
    model = StandardizedFlow(flow.log_prob, flow, data)
    model.loss(data.x[:256], data.y[:256])  # the first batch initializes its ActNorm layers
    return Peer(flow, model.loss, learning_rate), model


class SklearnBoltzmann(nn.Module):
    """scikit-learn's BernoulliRBM with the methods that annealed importance sampling (AIS) needs; it has no class units.

    Args:
        machine: a fitted BernoulliRBM.
        pixel_mean: share of train images in which each pixel is 1, (D,): the base distribution of AIS.
    """

    tags = Tags(binarized="threshold")

    def __init__(self, machine, pixel_mean: Tensor):
        super().__init__()
        self.weight = torch.from_numpy(machine.components_).float()  # (H, D)
        self.hidden_bias = torch.from_numpy(machine.intercept_hidden_).float()  # (H,)
        self.visible_bias = torch.from_numpy(machine.intercept_visible_).float()  # (D,)
        self.base = pixel_mean.clamp(0.001, 0.999).logit()  # (D,)

    def log_annealed(self, state: Tensor, beta: float) -> Tensor:
        """log p_beta(state) + log Z_beta in nats, (n,), with Z_0 = 1; the hidden units are summed out."""
        hidden = nn.functional.softplus(beta * (state @ self.weight.T + self.hidden_bias)).sum(1)
        log_z_base = nn.functional.softplus(self.base).sum() + len(self.hidden_bias) * math.log(2)
        return state @ self._bias(beta) + hidden - (1 - beta) * log_z_base

    def log_unnormalized(self, x: Tensor) -> Tensor:
        """log p(x) + log Z in nats, (N,)."""
        return self.log_annealed(self.state_of(x), 1.0)

    def gibbs_step(self, state: Tensor, beta: float) -> Tensor:
        """Samples the hidden units given the pixels, then the pixels given the hidden units, under p_beta; (n, D)."""
        hidden = torch.bernoulli((beta * (state @ self.weight.T + self.hidden_bias)).sigmoid())
        return torch.bernoulli((self._bias(beta) + beta * hidden @ self.weight).sigmoid())

    def base_sample(self, n: int) -> Tensor:
        """n samples of the base distribution, (n, D)."""
        return torch.bernoulli(self.base.sigmoid().expand(n, -1))

    def state_of(self, x: Tensor) -> Tensor:
        """The pixels, (N, D)."""
        return x.flatten(1)

    def _bias(self, beta: float) -> Tensor:
        return (1 - beta) * self.base + beta * self.visible_bias


def fit_bernoulli_rbm(data: TrainingData, hidden: int, learning_rate: float, core_seconds: float) -> SklearnBoltzmann:
    """Fits scikit-learn's BernoulliRBM for a number of core-seconds, with a learning rate that falls to 0 as pofxy's does."""
    from sklearn.neural_network import BernoulliRBM

    rows = likelihood.binarize(data.x, "threshold").flatten(1).numpy()
    machine = BernoulliRBM(hidden, batch_size=50, random_state=SEED)  # also the number of its Gibbs chains
    generator = torch.Generator().manual_seed(SEED)
    started = time.process_time()
    while (done := (time.process_time() - started) / core_seconds) < 1:
        machine.learning_rate = learning_rate * cosine(done)
        machine.partial_fit(rows[torch.randint(len(rows), (machine.batch_size,), generator=generator).numpy()])
    return SklearnBoltzmann(machine, torch.from_numpy(rows).mean(0))


def compare_trained(digits: Digits) -> list[Row]:
    """Scores on test of both sides after equal core-seconds of training."""
    rows = []
    data = digits.data
    for name, peer_name, build, sizes in (
        ("real_nvp", "zuko 1.6: neural spline flow", spline_flow, ((2, 128), (3, 128), (3, 256))),
        ("glow", "normflows 1.7: Glow", normflows_glow, ((4, 64), (8, 64), (8, 128))),
    ):
        model, seconds, precision = fit_model(name, data)
        peers = []
        for size in sizes:
            for learning_rate in (1e-3, 3e-3):
                seed_everything(SEED)
                peer, theirs = build(data, *size, learning_rate)
                peer.train(data, seconds)
                peers.append((peer.best_val_loss, theirs, f"{size[0]} x {size[1]}, {learning_rate:g}"))
                print(f"{name}: {peers[-1][2]}: {peer.best_val_loss:.2f} nats on val", file=sys.stderr)
        _, theirs, chosen = min(peers, key=lambda peer: peer[0])
        bits = [f"{_bits_per_dim(side, digits):.3f}" for side in (model, theirs)]
        remark = f"{in_precisions(precision)}; {seconds:.0f} core-s each; theirs {chosen}, the best of {len(peers)} on val"
        rows.append(Row(f"{name} / {peer_name}", "bits/dim, uniform-dequantized bound", *bits, remark))

    model, seconds, _ = fit_model("restricted_boltzmann", data)
    peers = []
    for learning_rate in (0.3, 0.1, 0.03, 0.01):
        theirs = fit_bernoulli_rbm(data, model.hidden, learning_rate, seconds)
        peers.append((_nats(theirs, data.x_val, data.spec), theirs, learning_rate))
        print(f"BernoulliRBM: {learning_rate}: {peers[-1][0]:.2f} nats on val", file=sys.stderr)
    _, theirs, learning_rate = max(peers, key=lambda peer: peer[0])
    nats = [f"{_nats(side, digits.x, data.spec):.2f}" for side in (model, theirs)]
    remark = (
        f"{seconds:.0f} core-s and {model.hidden} hidden units each; theirs at {learning_rate:g}, the best of {len(peers)} on val"
    )
    score = "log p(x) of binary images, nats, by annealed importance sampling"
    rows.append(Row("restricted_boltzmann / scikit-learn: BernoulliRBM", score, *nats, remark))
    return rows


def _bits_per_dim(model, digits: Digits) -> float:
    """Bits per dimension of the test images."""
    seed_everything(SEED)
    values = likelihood.estimates(model, digits.x, digits.data.spec)[0].values
    return float(-values.mean()) / math.prod(digits.data.spec.shape) / math.log(2)


def _nats(model, x: Tensor, spec: DataSpec) -> float:
    """Mean log p(x) in nats of the binarized images."""
    seed_everything(SEED)
    return float(likelihood.estimates(model, likelihood.binarize(x, "threshold"), spec)[0].values.mean())


# Models in closed form


def compare_closed_form(digits: Digits) -> list[Row]:
    """Largest relative difference of log p(x, y), or of log p(x | y), of test images between both implementations."""
    from hmmlearn.hmm import GaussianHMM
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
    from sklearn.mixture import GaussianMixture
    from sklearn.naive_bayes import BernoulliNB, CategoricalNB, GaussianNB

    # As rows of a table: for images, pofxy adds the variance of a pixel's bin to the variances.
    table_spec = DataSpec("digits", (64,), 10, None, digits.data.spec.class_names)
    x = digits.data.x.flatten(1)
    y = digits.data.y
    x_test = digits.x.flatten(1)
    rows = x.double().numpy()
    labels = y.numpy()
    tests = x_test.double().numpy()
    table = TrainingData(table_spec, x, y, x, y)
    images = digits.data

    def log_joint(name: str, data: TrainingData, inputs: Tensor, **settings: object) -> np.ndarray:
        # Buffers are float32 by default, whose rounding would hide smaller differences.
        torch.set_default_dtype(torch.float64)
        model = fit_model(name, data, **settings)[0].double()
        torch.set_default_dtype(torch.float32)
        return predict_batched(model, "log_joint", inputs.double()).numpy()

    def gray_levels(pixels: np.ndarray) -> np.ndarray:
        return (pixels * 16).round()

    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.2).fit(rows, labels)
    qda = QuadraticDiscriminantAnalysis(solver="eigen", shrinkage=0.1).fit(rows, labels)
    bernoulli = BernoulliNB(alpha=0.5, binarize=0.499).fit(rows, labels)
    categorical = CategoricalNB(alpha=0.3, min_categories=17).fit(gray_levels(rows), labels)
    gaussian = GaussianNB(var_smoothing=0.01).fit(rows, labels)
    pairs = {
        "gaussian_naive_bayes / scikit-learn: GaussianNB": (
            log_joint("gaussian_naive_bayes", table, x_test, shrinkage=0.0, smoothing=0.01),
            gaussian.predict_joint_log_proba(tests),
        ),
        "bernoulli_naive_bayes / scikit-learn: BernoulliNB": (
            log_joint("bernoulli_naive_bayes", images, digits.x, smoothing=0.5),
            bernoulli.predict_joint_log_proba(tests),
        ),
        "categorical_naive_bayes / scikit-learn: CategoricalNB": (
            log_joint("categorical_naive_bayes", images, digits.x, smoothing=0.3, pooling=0.0),
            categorical.predict_joint_log_proba(gray_levels(tests)),
        ),
        "linear_discriminant / scikit-learn: LinearDiscriminantAnalysis": (
            _log_posterior(log_joint("linear_discriminant", table, x_test, shrinkage=0.2)),
            _log_posterior(lda.decision_function(tests)),
        ),
        "quadratic_discriminant / scikit-learn: QuadraticDiscriminantAnalysis": (
            _log_posterior(log_joint("quadratic_discriminant", table, x_test, pooling=0.0, shrinkage=0.1)),
            _log_posterior(qda.decision_function(tests)),
        ),
    }
    mixture = fit_model("gaussian_mixture", table, n_components=3)[0].double()
    theirs = []
    for k in range(10):
        own = slice(3 * k, 3 * k + 3)
        machine = GaussianMixture(3)
        machine.weights_ = mixture.log_share[k].exp().numpy()
        machine.means_ = mixture.mean[own].numpy()
        machine.precisions_cholesky_ = mixture.factor[own].inverse().mT.numpy()
        theirs.append(machine.score_samples(tests))
    ours = predict_batched(mixture, "log_joint", x_test.double()) - mixture.log_prior
    pairs["gaussian_mixture / scikit-learn: GaussianMixture, with our parameters"] = ours.numpy(), np.array(theirs).T

    chain = fit_model("hidden_markov_model", images)[0].double()
    theirs = []
    for k in range(10):
        machine = GaussianHMM(chain.mean.shape[1], "diag", init_params="")
        machine.n_features = chain.mean.shape[2]
        machine.startprob_ = chain.initial[k].numpy()
        machine.transmat_ = _transition_matrix(chain)[k].numpy()
        machine.means_ = chain.mean[k].numpy()
        machine.covars_ = chain.variance[k].numpy()
        theirs.append([machine.score(image[0].double().numpy()) for image in digits.x])  # one row of pixels per time step
    ours = predict_batched(chain, "log_joint", digits.x.double()) - chain.log_prior
    pairs["hidden_markov_model / hmmlearn: GaussianHMM, with our parameters"] = ours.numpy(), np.array(theirs).T

    table_rows = []
    for models, (ours, theirs) in pairs.items():
        difference = abs(ours - theirs) / abs(theirs).clip(min=1)
        table_rows.append(Row(models, "largest relative difference", f"{difference.max():.1e}", "-", f"{ours.size:,} numbers"))
    return table_rows


def _transition_matrix(chain) -> Tensor:
    """p(state | previous state), (K, S, S), from the model's transitions (K, parts, variants, parts on, variants)."""
    classes, parts, variants, steps, _ = chain.transition.shape
    full = chain.transition.new_zeros(classes, parts, variants, parts, variants)
    for part in range(parts):
        on = min(steps, parts - part)
        full[:, part, :, part : part + on] = chain.transition[:, part, :, :on]
    return full.flatten(3).flatten(1, 2)


def _log_posterior(log_joint: np.ndarray) -> np.ndarray:
    """log p(y | x), (N, K), of log p(x, y) up to a constant for each x."""
    return torch.from_numpy(log_joint).double().log_softmax(1).numpy()


def page(sections: dict[str, list[Row]], origin: dict) -> str:
    """The text of docs/peers.md.

    Args:
        sections: rows of a table by its title.
        origin: provenance of this run.
    """
    parts = [
        "# Comparison with other implementations",
        "",
        "Written by `python benchmarks/peers.py` (the extra `peers`). The default study's digits, seed 0, one core of "
        f"{origin['machine']['processor']}, {time.strftime('%Y-%m-%d')}.",
    ]
    for title, rows in sections.items():
        parts += ["", f"## {title}", "", "| ours / theirs | score | ours | theirs | |", "|---|---|---|---|---|"]
        parts += [f"| {row.models} | {row.score} | {row.ours} | {row.theirs} | {row.remark} |" for row in rows]
    return "\n".join(parts) + "\n"


def main() -> None:
    """Compares, prints both tables and writes them to docs/peers.md."""
    torch.set_num_threads(1)
    digits = Digits.read()
    sections = {
        "Trained models: scores on test after equal core-seconds of training": compare_trained(digits),
        "Models in closed form": compare_closed_form(digits),
    }
    text = page(sections, provenance({}))
    print(text)
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
