"""JEM: a joint energy-based model. The logits f of a classifier are interpreted as an unnormalized log joint density.

    p(x, y) = exp(f_y(x)) / Z,      p(y | x) = softmax f(x),      p(x) = sum_y exp(f_y(x)) / Z            (eq. 4 to 6)
    maximize log p(y | x) + log p(x);      d log p(x) = d log sum_y exp f_y(x) - E_p(x') d log sum_y exp f_y(x')      (eq. 2)
    x <- x + e^2 / 2 grad_x f_y(x) + e N(0, I)                                                                       (eq. 3)

The normalizer Z is unknown, so there is no log_prob. Samples x' come from stochastic gradient Langevin dynamics (SGLD, eq. 3).
The chains are kept in a replay buffer, continue from batch to batch, and are restarted at random now and then. Each chain has a
fixed label, so that no chain has to move from one class to another.

Four things keep the training from diverging. f is a net plus the log density of a Gaussian with independent pixels. Noise is
added to the data: without it the gradient of the log density is unbounded across the image manifold; with it the step size e
can be of the size of the noise, and the chains run at temperature 1. The activation is smooth and there is no batch
normalization. The drift of each pixel is clipped. Samples have the distribution of the noisy data; the noise is removed by its
conditional mean x + noise^2 grad_x f_y(x).

References:
    W. Grathwohl et al., "Your classifier is secretly an energy based model and you should treat it like one", ICLR 2020.
    https://arxiv.org/abs/1912.03263
    Clipping: Y. Du, I. Mordatch, "Implicit generation and modeling with energy-based models", NeurIPS 2019.
    https://arxiv.org/abs/1903.08689
    The Gaussian: J. Xie et al., "A theory of generative ConvNet", ICML 2016. https://arxiv.org/abs/1602.03264
    Noise removal: S. Saremi, A. Hyvarinen, "Neural empirical Bayes", JMLR 20, 2019. https://arxiv.org/abs/1903.02334
    Persistent chains: T. Tieleman, "Training restricted Boltzmann machines using approximations to the likelihood gradient", ICML
    2008. https://doi.org/10.1145/1390156.1390290
"""

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pofxy.base.bayes import ClassPriorMixin, log_class_prior
from pofxy.base.classifiers import LogitsClassifierMixin
from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.hyperparameters import Optimization
from pofxy.base.tags import Tags
from pofxy.base.visualization import Visualization
from pofxy.training.trainer import Trainer

# Langevin steps of a sample, which starts at a chain of the buffer, and of inpainting, which starts at noise.
SAMPLE_STEPS = 60
INPAINT_STEPS = 300
# Largest drift of a pixel in a step, in units of its range.
MAX_DRIFT = 0.1
# Steps after which the chains are shown in the picture.
PICTURED_STEPS = (0, 5, 20, 80, 320)


class JEM(LogitsClassifierMixin, ClassPriorMixin, nn.Module):
    """A fully connected net of two hidden layers, for images of any size.

    Args:
        hidden: units of a hidden layer.
        noise: standard deviation of the noise on the data.
        stride: e, step size of the chains; they are unstable from twice the noise on.
        walk: Langevin steps of the chains for each batch.
        chains: in the replay buffer.
        restart: probability that a chain restarts from the Gaussian when it is moved for a batch.
        optimization: steps, batch (of images, and of chains that are moved for it), learning rate and weight decay; the schedule
            is a cosine.
    """

    tags = Tags(conditional=True, images_only=True, trained_in_steps=True, inpainting_passes=900)
    mean: Tensor
    deviation: Tensor
    log_prior: Tensor
    replay_buffer: Tensor
    chain_labels: Tensor

    def __init__(
        self,
        hidden: int = 512,
        noise: float = 0.1,
        stride: float = 0.07,
        walk: int = 6,
        chains: int = 1000,
        restart: float = 0.05,
        optimization: Optimization = Optimization(steps=1500, batch=48, learning_rate=1.5e-3),
    ):
        super().__init__()
        self.hidden = hidden
        self.noise = noise
        self.stride = stride
        self.walk = walk
        self.chains = chains
        self.restart = restart
        self.optimization = optimization

    def build(self, spec: DataSpec) -> None:
        """Layers and buffer for images. Raises ValueError for tables."""
        if len(spec.shape) != 3:
            raise ValueError(f"{spec.name}: JEM needs images, not {spec.shape}")
        self.net = nn.Sequential(
            nn.Flatten(),
            nn.Linear(math.prod(spec.shape), self.hidden),
            nn.SiLU(),
            nn.Linear(self.hidden, self.hidden),
            nn.SiLU(),
            nn.Linear(self.hidden, spec.classes),
        )
        nn.init.zeros_(cast(nn.Linear, self.net[-1]).weight)  # training starts at the Gaussian, where the chains start
        self.register_buffer("mean", torch.zeros(spec.shape))
        self.register_buffer("deviation", torch.ones(spec.shape))
        self.register_buffer("log_prior", torch.zeros(spec.classes))
        self.register_buffer("replay_buffer", torch.zeros(self.chains, *spec.shape))
        self.register_buffer("chain_labels", torch.arange(self.chains) % spec.classes)

    def fit(self, data: TrainingData, trainer: Trainer) -> None:
        """Trains for all steps: no number on the val split tells when to stop, because log p(x) is unknown."""
        self.build(data.spec)
        self.log_prior = log_class_prior(data.y, data.spec.classes)
        self.chain_labels = self.drawn_labels(self.chains)
        self.chain_labels[: data.spec.classes] = torch.arange(data.spec.classes)  # at least one chain for each class
        self.mean = data.x.mean(0)
        self.deviation = (data.x.var(0) + self.noise**2).sqrt()
        self.replay_buffer = self.initial_chains(self.chains)
        with torch.no_grad():
            cast(nn.Linear, self.net[-1]).bias.copy_(self.log_prior)
        trainer.minimize(self, data, self._loss, self.optimization, parameters=self.net.parameters(), bfloat16=True)

    def decision_function(self, x: Tensor) -> Tensor:
        """f(x), (N, K): log p(x, y) of a noisy image, up to a constant."""
        standardized = (x - self.mean) / self.deviation
        return self.net(standardized).float() - 0.5 * standardized.square().sum((1, 2, 3))[:, None]

    def sample(self, n: int, labels: Tensor | None = None) -> Tensor:
        """n images of the labels (n,), or of labels sampled from the class prior.

        Copies of chains of the replay buffer are continued; the buffer does not change.
        """
        # Langevin steps need gradients, which do not exist in inference mode; tensors made in it must be copied.
        with torch.inference_mode(False):
            labels = self.drawn_labels(n) if labels is None else labels.clone()
            x = self.langevin(self.replay_buffer[self._chains_of(labels)], labels, SAMPLE_STEPS)
            return self._denoise(x, labels)

    def inpaint(self, x: Tensor, mask: Tensor) -> Tensor:
        """Samples the unknown pixels (mask 0) by chains of p(x) from the Gaussian; known pixels are fixed, with noise."""
        with torch.inference_mode(False):
            x = x.clone()
            known = mask.bool().clone()
            start = torch.where(known, x + self.noise * torch.randn_like(x), self.initial_chains(len(x)))
            filled = self._denoise(self.langevin(start, None, INPAINT_STEPS, moving=~known))
            return torch.where(known, x, filled)

    def picture(self, x: Tensor, y: Tensor) -> Visualization:
        """A chain of each class from the Gaussian on."""
        labels = torch.arange(len(self.log_prior), device=self.mean.device)
        chains = self.initial_chains(len(labels))
        images = []
        for before, after in zip((0, *PICTURED_STEPS), PICTURED_STEPS, strict=False):
            chains = self.langevin(chains, labels, after - before)
            images.append(chains.clamp(0, 1).cpu())
        images.append(self._denoise(chains, labels).cpu())
        steps = ", ".join(map(str, PICTURED_STEPS))
        caption = f"A Langevin chain of each class, from noise: after {steps} steps, and in the last row with the noise removed."
        return Visualization(torch.cat(images), columns=len(labels), caption=caption)

    def initial_chains(self, n: int) -> Tensor:
        """n samples of the Gaussian, (n, C, H, W), where chains start."""
        return self.mean + self.deviation * torch.randn(n, *self.mean.shape, device=self.mean.device)

    def langevin(self, x: Tensor, labels: Tensor | None, steps: int, moving: Tensor | None = None) -> Tensor:
        """Chains after some Langevin steps (eq. 3), (n, C, H, W).

        Args:
            x: states of the chains, (n, C, H, W).
            labels: (n,) for p(x | y), None for p(x).
            steps: number of steps.
            moving: (n, C, H, W), the pixels that change; None for all.
        """
        for _ in range(steps):
            drift = (self.stride**2 / 2 * self.log_density_gradient(x, labels)).clamp(-MAX_DRIFT, MAX_DRIFT)
            step = drift + self.stride * torch.randn_like(x)
            x = x + (step if moving is None else step * moving)
        return x

    def log_density_gradient(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """grad_x f_y(x), or grad_x log p(x) where labels are None, (n, C, H, W)."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            f = self.decision_function(x)
            f = f.logsumexp(1) if labels is None else f.gather(1, labels[:, None])
            return torch.autograd.grad(f.sum(), x)[0]

    def next_chains(self, n: int) -> tuple[Tensor, Tensor]:
        """n random chains of the buffer, some of them restarted: their indices (n,), and their states (n, C, H, W)."""
        index = torch.randperm(self.chains, device=self.chain_labels.device)[:n]
        restarted = torch.rand(len(index), 1, 1, 1, device=index.device) < self.restart
        return index, torch.where(restarted, self.initial_chains(len(index)), self.replay_buffer[index])

    def _loss(self, x, y):
        index, start = self.next_chains(len(x))
        sampled = self.langevin(start, self.chain_labels[index], self.walk)
        self.replay_buffer[index] = sampled
        noisy = x + self.noise * torch.randn_like(x)
        on_real, on_sampled = self.decision_function(torch.cat([noisy, sampled])).split([len(noisy), len(sampled)])
        cross_entropy = F.cross_entropy(on_real, y)
        gap = on_sampled.logsumexp(1).mean() - on_real.logsumexp(1).mean()
        agreement = (on_sampled.argmax(1) == self.chain_labels[index]).float().mean()
        return {"loss": cross_entropy + gap, "cross_entropy": cross_entropy, "gap": gap, "chain_agreement": agreement}

    def _denoise(self, x, labels=None):
        """The conditional mean of the clean image given the noisy x, clamped to [0, 1]."""
        return (x + self.noise**2 * self.log_density_gradient(x, labels)).clamp(0, 1)

    def _chains_of(self, labels):
        """Indices (n,) of chains with the labels (n,). A chain is taken twice only after all of its class were taken once."""
        index = torch.empty_like(labels)
        for k in labels.unique():
            own = torch.nonzero(self.chain_labels == k)[:, 0]
            wanted = int((labels == k).sum())
            shuffled = [own[torch.randperm(len(own), device=own.device)] for _ in range(-(-wanted // len(own)))]
            index[labels == k] = torch.cat(shuffled)[:wanted]
        return index
