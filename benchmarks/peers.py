"""The generative models against well-known implementations of the same ones: the same images, the same split, one core.

    python benchmarks/peers.py        prints two tables and writes them to docs/peers.md; the extra `peers` has what it needs

Where both sides find the same numbers in closed form, how far these are apart. Where both are trained, what they reach on test
images after equal core-seconds of training. A peer may do so with each of several settings, and the one that is best on val
counts; ours are the defaults. Its schedule and its early stopping on val are those of pofxy's own training.
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
from torch import nn

from pofxy.base.bayes import log_class_prior
from pofxy.base.data import DataSpec, TrainingData, dequantize
from pofxy.base.prediction import inference, predict_batched
from pofxy.base.seeding import seed_everything
from pofxy.data.datasets import open_dataset
from pofxy.data.preprocess import spec, split
from pofxy.evaluation import likelihood
from pofxy.storage.models import load_spec, model_class
from pofxy.training.optimizers import learning_rate_factor
from pofxy.training.trainer import Trainer
from pofxy.workflow import cost
from pofxy.workflow.provenance import provenance
from project import ROOT

PAGE = ROOT / "docs/peers.md"
SEED = 0
STEPS_BETWEEN_CHECKS = 20


@dataclass(frozen=True)
class Row:
    """A line of a table: what is compared, by what number, and the numbers of both sides."""

    what: str
    number: str
    ours: str
    theirs: str
    remark: str = ""


@dataclass(frozen=True)
class Digits:
    """The default study's data: train and val split, and the test images with their labels."""

    data: TrainingData
    x: torch.Tensor
    y: torch.Tensor

    @classmethod
    def read(cls) -> "Digits":
        dataset = open_dataset("digits", {})
        with tempfile.TemporaryDirectory() as folder:
            dataset.download(Path(folder), Path(folder))
            images = dataset.read(Path(folder))
        about, parts = load_spec(spec("digits", images)), split(images)
        x, y = torch.from_numpy(images.x).float() / (images.levels - 1), torch.from_numpy(images.y)
        train, val, test = ((x[parts[name]], y[parts[name]]) for name in ("train", "val", "test"))
        return cls(TrainingData(about, *train, *val), *test)


def fitted(name: str, data: TrainingData, **settings):
    """One of our models, and the core-seconds of its fit."""
    seed_everything(SEED)
    model = model_class("generative", name)(**settings)
    with cost.stopwatch() as took:
        model.fit(data, Trainer())
    return model, took["core_seconds"]


# Trained on both sides.


@dataclass
class Peer:
    """Another implementation as it is trained here.

    Attributes:
        module: whose parameters are moved.
        loss: (x, y) of one batch -> nats per image.
        learning_rate: at its height, of a cosine schedule.
    """

    module: nn.Module
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    learning_rate: float
    best: float = field(default=math.inf, init=False)

    def train(self, data: TrainingData, core_seconds: float, batch: int = 64) -> None:
        """Adam for as long; keeps the parameters of the lowest loss on val."""
        seed_everything(SEED)
        optimizer, started, step = torch.optim.Adam(self.module.parameters(), fused=True), time.process_time(), 0
        kept = copy.deepcopy(self.module.state_dict())
        while (done := (time.process_time() - started) / core_seconds) < 1:
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate * learning_rate_factor("cosine", done)
            index = torch.randint(len(data.x), (batch,))
            optimizer.zero_grad()
            self.loss(data.x[index], data.y[index]).backward()
            nn.utils.clip_grad_norm_(self.module.parameters(), 50.0)
            optimizer.step()
            step += 1
            if step % STEPS_BETWEEN_CHECKS == 0:
                with inference(self.module):
                    found = float(self.loss(data.x_val, data.y_val))
                if found < self.best:
                    self.best, kept = found, copy.deepcopy(self.module.state_dict())
        self.module.load_state_dict(kept)
        self.module.eval()


class Standardised(nn.Module):
    """A flow over standardised dequantized pixels as a model of pofxy: log p(x) over all classes.

    Args:
        log_density: (x, y) -> (N,) nats, of standardised pixels.
        module: the flow, whose parameters it has.
        data: whose train split has the means and deviations.
    """

    measure = "density"

    def __init__(self, log_density, module: nn.Module, data: TrainingData):
        super().__init__()
        self.module, self.log_density, self.levels = module, log_density, data.spec.levels
        noisy = dequantize(data.x, self.levels)
        self.mean, self.deviation = noisy.mean(0), noisy.std(0)
        self.log_prior = log_class_prior(data.y, data.spec.classes)

    def log_conditional(self, x, y):
        return self.log_density((x - self.mean) / self.deviation, y) - self.deviation.log().sum()

    def log_prob(self, x):
        labels = torch.arange(len(self.log_prior))
        return (self.log_prior + torch.stack([self.log_conditional(x, k.expand(len(x))) for k in labels], 1)).logsumexp(1)

    def loss(self, x, y):
        return -self.log_conditional(dequantize(x, self.levels), y).mean()


def spline_flow(data: TrainingData, transforms: int, width: int, learning_rate: float) -> tuple[Peer, Standardised]:
    """zuko's neural spline flow, conditional on the class."""
    import zuko

    classes = data.spec.classes
    flow = zuko.flows.NSF(math.prod(data.spec.shape), classes, transforms=transforms, hidden_features=(width, width))

    def log_density(x, y):
        return flow(nn.functional.one_hot(y, classes).float()).log_prob(x.flatten(1))

    model = Standardised(log_density, flow, data)
    return Peer(flow, model.loss, learning_rate), model


def their_glow(data: TrainingData, blocks: int, width: int, learning_rate: float) -> tuple[Peer, Standardised]:
    """normflows' Glow of two levels, each class with a base law of its own."""
    import normflows

    channels, side, _ = data.spec.shape  # square
    bases, flows, levels = [], [], 2
    for level in range(levels):  # from the base up
        wide = channels * 2 ** (levels + 1 - level)
        blocks_of_level = [normflows.flows.GlowBlock(wide, width, split_mode="channel") for _ in range(blocks)]
        flows.append([*blocks_of_level, normflows.flows.Squeeze()])
        # Half of the channels of every level but the first join here.
        shape = wide if level == 0 else wide // 2, *[side // 2 ** (levels - level)] * 2
        bases.append(normflows.distributions.ClassCondDiagGaussian(shape, data.spec.classes))
    flow = normflows.MultiscaleFlow(bases, flows, [normflows.flows.Merge() for _ in range(levels - 1)])
    model = Standardised(flow.log_prob, flow, data)
    model.loss(data.x[:256], data.y[:256])  # the first batch sets the scales of its ActNorm
    return Peer(flow, model.loss, learning_rate), model


class BoltzmannOfScikitLearn(nn.Module):
    """scikit-learn's BernoulliRBM with what annealing asks for; without class units.

    Args:
        machine: fitted.
        bright: share of train images in which each pixel is bright, (D,): the base law of the annealing.
    """

    binarized = "threshold"

    def __init__(self, machine, bright: torch.Tensor):
        super().__init__()
        parts = machine.components_, machine.intercept_hidden_, machine.intercept_visible_
        self.weight, self.hidden, self.visible = (torch.from_numpy(part).float() for part in parts)  # (H, D), (H,), (D,)
        self.base = bright.clamp(0.001, 0.999).logit()

    def log_annealed(self, state, beta):
        hidden = nn.functional.softplus(beta * (state @ self.weight.T + self.hidden)).sum(1)
        normaliser = nn.functional.softplus(self.base).sum() + len(self.hidden) * math.log(2)
        return state @ self._bias(beta) + hidden - (1 - beta) * normaliser

    def log_unnormalized(self, x):
        return self.log_annealed(self.state_of(x), 1.0)

    def gibbs_step(self, state, beta):
        hidden = torch.bernoulli((beta * (state @ self.weight.T + self.hidden)).sigmoid())
        return torch.bernoulli((self._bias(beta) + beta * hidden @ self.weight).sigmoid())

    def base_sample(self, n):
        return torch.bernoulli(self.base.sigmoid().expand(n, -1))

    def state_of(self, x):
        return x.flatten(1)

    def _bias(self, beta):
        return (1 - beta) * self.base + beta * self.visible


def their_boltzmann(data: TrainingData, hidden: int, learning_rate: float, core_seconds: float) -> BoltzmannOfScikitLearn:
    """Fitted for as long, batch by batch, with a rate that falls to 0 as ours does."""
    from sklearn.neural_network import BernoulliRBM

    rows = likelihood.binarize(data.x, "threshold").flatten(1).numpy()
    machine = BernoulliRBM(hidden, batch_size=50, random_state=SEED)  # as many chains
    order, started = torch.Generator().manual_seed(SEED), time.process_time()
    while (done := (time.process_time() - started) / core_seconds) < 1:
        machine.learning_rate = learning_rate * learning_rate_factor("cosine", done)
        machine.partial_fit(rows[torch.randint(len(rows), (machine.batch_size,), generator=order).numpy()])
    return BoltzmannOfScikitLearn(machine, torch.from_numpy(rows).mean(0))


def trained(digits: Digits) -> list[Row]:
    """What each side reaches on test after equal core-seconds."""
    rows, data = [], digits.data
    for name, number, build, settings in (
        ("real_nvp", "zuko 1.6: neural spline flow", spline_flow, ((2, 128), (3, 128), (3, 256))),
        ("glow", "normflows 1.7: Glow", their_glow, ((4, 64), (8, 64), (8, 128))),
    ):
        model, seconds = fitted(name, data)
        peers = []
        for size in settings:
            for learning_rate in (1e-3, 3e-3):
                seed_everything(SEED)
                peer, theirs = build(data, *size, learning_rate)
                peer.train(data, seconds)
                peers.append((peer.best, theirs, f"{size[0]} x {size[1]}, {learning_rate:g}"))
                print(f"{name}: {peers[-1][2]}: {peer.best:.2f} nats on val", file=sys.stderr)
        _, theirs, chosen = min(peers, key=lambda one: one[0])
        bits = [f"{_bits(one, digits):.3f}" for one in (model, theirs)]
        remark = f"{seconds:.0f} core-s each; theirs {chosen}, the best of {len(peers)} on val"
        rows.append(Row(f"{name} / {number}", "bits/dim, uniform-dequantized bound", *bits, remark))

    model, seconds = fitted("restricted_boltzmann", data)
    peers = []
    for learning_rate in (0.3, 0.1, 0.03, 0.01):
        theirs = their_boltzmann(data, model.hidden, learning_rate, seconds)
        peers.append((_nats(theirs, data.x_val, data.spec), theirs, learning_rate))
        print(f"BernoulliRBM: {learning_rate}: {peers[-1][0]:.2f} nats on val", file=sys.stderr)
    _, theirs, learning_rate = max(peers, key=lambda one: one[0])
    nats = [f"{_nats(one, digits.x, data.spec):.2f}" for one in (model, theirs)]
    remark = (
        f"{seconds:.0f} core-s and {model.hidden} hidden units each; theirs at {learning_rate:g}, the best of {len(peers)} on val"
    )
    rows.append(
        Row("restricted_boltzmann / scikit-learn: BernoulliRBM", "log p(x) of binary images, nats, by annealing", *nats, remark)
    )
    return rows


def _bits(model, digits: Digits) -> float:
    seed_everything(SEED)
    values = likelihood.estimates(model, digits.x, digits.data.spec)[0].values
    return float(-values.mean()) / math.prod(digits.data.spec.shape) / math.log(2)


def _nats(model, x: torch.Tensor, spec: DataSpec) -> float:
    seed_everything(SEED)
    return float(likelihood.estimates(model, likelihood.binarize(x, "threshold"), spec)[0].values.mean())


# The same in closed form.


def equal(digits: Digits) -> list[Row]:
    """How far log p(x, y), or log p(x | y), of test images lies from another implementation's, relative to its size."""
    from hmmlearn.hmm import GaussianHMM
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
    from sklearn.mixture import GaussianMixture
    from sklearn.naive_bayes import BernoulliNB, CategoricalNB, GaussianNB

    # As rows of a table, so that the pixels' bins add nothing to their variances.
    about = DataSpec("digits", (64,), 10, None, digits.data.spec.class_names)
    x, y, x_test = digits.data.x.flatten(1), digits.data.y, digits.x.flatten(1)
    rows, labels, tests = x.double().numpy(), y.numpy(), x_test.double().numpy()
    table, images = TrainingData(about, x, y, x, y), digits.data

    def joint(name, data, inputs, **settings):
        # Numbers are kept as float32 as a rule, which is what would be compared then.
        torch.set_default_dtype(torch.float64)
        model = fitted(name, data, **settings)[0].double()
        torch.set_default_dtype(torch.float32)
        return predict_batched(model, "log_joint", inputs.double()).numpy()

    def levels(part):
        return (part * 16).round()

    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.2).fit(rows, labels)
    qda = QuadraticDiscriminantAnalysis(solver="eigen", shrinkage=0.1).fit(rows, labels)
    bernoulli = BernoulliNB(alpha=0.5, binarize=0.499).fit(rows, labels)
    categorical = CategoricalNB(alpha=0.3, min_categories=17).fit(levels(rows), labels)
    gaussian = GaussianNB(var_smoothing=0.01).fit(rows, labels)
    found = {
        "gaussian_naive_bayes / scikit-learn: GaussianNB": (
            joint("gaussian_naive_bayes", table, x_test, shrinkage=0.0, smoothing=0.01),
            gaussian.predict_joint_log_proba(tests),
        ),
        "bernoulli_naive_bayes / scikit-learn: BernoulliNB": (
            joint("bernoulli_naive_bayes", images, digits.x, smoothing=0.5),
            bernoulli.predict_joint_log_proba(tests),
        ),
        "categorical_naive_bayes / scikit-learn: CategoricalNB": (
            joint("categorical_naive_bayes", images, digits.x, smoothing=0.3, pooling=0.0),
            categorical.predict_joint_log_proba(levels(tests)),
        ),
        "linear_discriminant / scikit-learn: LinearDiscriminantAnalysis": (
            _posterior(joint("linear_discriminant", table, x_test, shrinkage=0.2)),
            _posterior(lda.decision_function(tests)),
        ),
        "quadratic_discriminant / scikit-learn: QuadraticDiscriminantAnalysis": (
            _posterior(joint("quadratic_discriminant", table, x_test, pooling=0.0, shrinkage=0.1)),
            _posterior(qda.decision_function(tests)),
        ),
    }
    mixture = fitted("gaussian_mixture", table, n_components=3)[0].double()
    theirs = []
    for k in range(10):
        own = slice(3 * k, 3 * k + 3)
        machine = GaussianMixture(3)
        machine.weights_, machine.means_ = mixture.log_share[k].exp().numpy(), mixture.mean[own].numpy()
        machine.precisions_cholesky_ = mixture.factor[own].inverse().mT.numpy()
        theirs.append(machine.score_samples(tests))
    ours = predict_batched(mixture, "log_joint", x_test.double()) - mixture.log_prior
    found["gaussian_mixture / scikit-learn: GaussianMixture, with our parameters"] = ours.numpy(), np.array(theirs).T

    chain = fitted("hidden_markov_model", images)[0].double()
    theirs = []
    for k in range(10):
        machine = GaussianHMM(chain.mean.shape[1], "diag", init_params="")
        machine.n_features = chain.mean.shape[2]
        machine.startprob_, machine.transmat_, machine.means_, machine.covars_ = (
            part[k].numpy() for part in (chain.initial, _between_states(chain), chain.mean, chain.variance)
        )
        theirs.append([machine.score(image[0].double().numpy()) for image in digits.x])  # a row of pixels a step
    ours = predict_batched(chain, "log_joint", digits.x.double()) - chain.log_prior
    found["hidden_markov_model / hmmlearn: GaussianHMM, with our parameters"] = ours.numpy(), np.array(theirs).T

    made = []
    for what, (ours, theirs) in found.items():
        apart = abs(ours - theirs) / abs(theirs).clip(min=1)
        made.append(Row(what, "largest relative difference", f"{apart.max():.1e}", "-", f"{ours.size:,} numbers"))
    return made


def _between_states(chain) -> torch.Tensor:
    """p(state | state before), (K, S, S), of transitions (K, parts, variants, parts on, variants)."""
    classes, parts, variants, steps, _ = chain.transition.shape
    full = chain.transition.new_zeros(classes, parts, variants, parts, variants)
    for part in range(parts):
        on = min(steps, parts - part)
        full[:, part, :, part : part + on] = chain.transition[:, part, :, :on]
    return full.flatten(3).flatten(1, 2)


def _posterior(joint):
    """log p(y | x) of what is log p(x, y) but for a constant of each x."""
    return torch.from_numpy(joint).double().log_softmax(1).numpy()


def page(sections: dict[str, list[Row]], origin: dict) -> str:
    """docs/peers.md."""
    parts = [
        "# Beside other implementations",
        "",
        "Written by `python benchmarks/peers.py` (the extra `peers`). The default study's digits, seed 0, one core of "
        f"{origin['machine']['processor']}, {time.strftime('%Y-%m-%d')}.",
    ]
    for title, rows in sections.items():
        parts += ["", f"## {title}", "", "| ours / theirs | number | ours | theirs | |", "|---|---|---|---|---|"]
        parts += [f"| {row.what} | {row.number} | {row.ours} | {row.theirs} | {row.remark} |" for row in rows]
    return "\n".join(parts) + "\n"


def main() -> None:
    torch.set_num_threads(1)
    digits = Digits.read()
    sections = {
        "Trained for equal seconds, on test": trained(digits),
        "The same numbers": equal(digits),
    }
    text = page(sections, provenance({}))
    print(text)
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
