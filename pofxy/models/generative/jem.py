"""JEM: the logits f of a classifier, read as the logarithm of a joint density.

    p(x, y) = exp(f_y(x)) / Z,      p(y | x) = softmax f(x),      p(x) = sum_y exp(f_y(x)) / Z            (eq. 4 to 6)
    maximise log p(y | x) + log p(x);      d log p(x) = d log sum_y exp f_y(x) - E_p(x') d log sum_y exp f_y(x')      (eq. 2)

Z is not known, and so there is no log_prob. Draws x' come from Langevin chains (SGLD) that are kept in a buffer, go on from batch
to batch, and now and then start anew. Each holds its label, so that none has to find its way from class to class:

    x <- x + e^2 / 2 grad_x f_y(x) + e N(0, I)                                                                       (eq. 3)

What keeps it from diverging: f = net + the log of a Gaussian, the law of independent pixels, which the net tilts; noise on the
data, without which the density has no finite slope across the image manifold, so that e can be of the noise's size and the chains
run at temperature 1; a smooth activation and no batch normalisation; each pixel's drift is clipped. Samples are of the noisy law;
their mean given what was drawn, x + noise^2 grad_x f_y(x), takes the noise off.

References: W. Grathwohl et al., "Your classifier is secretly an energy based model and you should treat it like one", ICLR 2020;
clipping: Y. Du, I. Mordatch, NeurIPS 2019; the Gaussian: J. Xie et al., "A theory of generative ConvNet", ICML 2016; the noise's
mean: S. Saremi, A. Hyvarinen, "Neural empirical Bayes", JMLR 2019; chains that go on: T. Tieleman, ICML 2008.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from pofxy.base.bayes import ClassPriorMixin, log_class_prior
from pofxy.base.classifiers import LogitsClassifierMixin
from pofxy.base.tags import Tags
from pofxy.base.visualization import Visualization
from pofxy.training.trainer import Objective

# Langevin steps of a sample, from a chain of the buffer on; of a completion, from noise on.
SAMPLE_STEPS = 60
INPAINT_STEPS = 300
# The largest drift of a pixel in a step, in units of its range.
CLIP = 0.1
PICTURED_STEPS = (0, 5, 20, 80, 320)


class JEM(LogitsClassifierMixin, ClassPriorMixin, nn.Module):
    """A fully connected net of two hidden layers, for images of any size.

    Args:
        hidden: units of a hidden layer.
        noise: standard deviation of the noise on the data.
        stride: e of the chains; twice the noise would be the end of their stability.
        walk: steps of the chains that are taken for a batch.
        chains: in the buffer.
        restart: probability that a chain starts anew, from the Gaussian, when its turn comes.
        steps: batches to train for.
        batch: images in one, and chains that are moved for it.
        learning_rate: at its height, of a cosine schedule.
    """

    tags = Tags(conditional=True, images_only=True, trained_in_steps=True)

    def __init__(
        self,
        hidden: int = 512,
        noise: float = 0.1,
        stride: float = 0.07,
        walk: int = 6,
        chains: int = 1000,
        restart: float = 0.05,
        steps: int = 1500,
        batch: int = 48,
        learning_rate: float = 1.5e-3,
    ):
        super().__init__()
        self.hidden, self.noise, self.stride, self.walk, self.chains = hidden, noise, stride, walk, chains
        self.restart, self.steps, self.batch, self.learning_rate = restart, steps, batch, learning_rate

    def build(self, spec):
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
        nn.init.zeros_(self.net[-1].weight)  # training starts at the Gaussian, where the chains are
        self.register_buffer("mean", torch.zeros(spec.shape))
        self.register_buffer("deviation", torch.ones(spec.shape))
        self.register_buffer("log_prior", torch.zeros(spec.classes))
        self.register_buffer("buffer", torch.zeros(self.chains, *spec.shape))
        self.register_buffer("labels", torch.arange(self.chains) % spec.classes)

    def fit(self, data, trainer):
        """Trains for all its steps: no number on val says when to stop, for log p(x) is not known."""
        self.build(data.spec)
        self.log_prior = log_class_prior(data.y, data.spec.classes)
        self.labels = self.drawn_labels(self.chains)
        self.labels[: data.spec.classes] = torch.arange(data.spec.classes)  # of each class one at least
        self.mean, self.deviation = data.x.mean(0), (data.x.var(0) + self.noise**2).sqrt()
        self.buffer = self.fresh(self.chains)
        with torch.no_grad():
            self.net[-1].bias.copy_(self.log_prior)
        objective = Objective(self._loss, self.net.parameters(), self.learning_rate)
        trainer.run(self, data, [objective], steps=self.steps, batch=self.batch, bfloat16=True)

    def decision_function(self, x):
        """f(x), (N, K): log p(x, y) of a noisy image, up to a constant."""
        standard = (x - self.mean) / self.deviation
        return self.net(standard).float() - 0.5 * standard.square().sum((1, 2, 3))[:, None]

    def sample(self, n, labels=None):
        """n images of these labels: chains of the buffer go on from where they are, and the buffer stays as it is."""
        # Out of inference mode, in which nothing has a slope; tensors made in it must be copied.
        with torch.inference_mode(False):
            labels = self.drawn_labels(n) if labels is None else labels.clone()
            x = self.walked(self.buffer[self._chains_of(labels)], labels, SAMPLE_STEPS)
            return self._denoised(x, labels)

    def inpaint(self, x, mask):
        """The unknown pixels (mask 0) walk under p(x) from the Gaussian on, the known ones wait, with noise as in the data."""
        with torch.inference_mode(False):
            x, known = x.clone(), mask.bool().clone()
            noisy = torch.where(known, x + self.noise * torch.randn_like(x), self.fresh(len(x)))
            filled = self._denoised(self.walked(noisy, None, INPAINT_STEPS, moves=~known))
            return torch.where(known, x, filled)

    def picture(self, x, y):
        """Chains on their way from the Gaussian, one of each class."""
        labels = torch.arange(len(self.log_prior), device=self.mean.device)
        chains, images = self.fresh(len(labels)), []
        for before, after in zip((0, *PICTURED_STEPS), PICTURED_STEPS, strict=False):
            chains = self.walked(chains, labels, after - before)
            images.append(chains.clamp(0, 1).cpu())
        images.append(self._denoised(chains, labels).cpu())
        steps = ", ".join(map(str, PICTURED_STEPS))
        caption = f"A Langevin chain of each class, from noise: after {steps} steps, and at last with the noise taken off."
        return Visualization(torch.cat(images), columns=len(labels), caption=caption)

    def fresh(self, n):
        """n draws from the Gaussian, (n, C, H, W): where chains begin."""
        return self.mean + self.deviation * torch.randn(n, *self.mean.shape, device=self.mean.device)

    def walked(self, x, labels, steps, moves=None):
        """The chains x (n, C, H, W) after some steps under p(x | label), or p(x) where labels are None; only pixels that move."""
        for _ in range(steps):
            drift = (self.stride**2 / 2 * self.slope(x, labels)).clamp(-CLIP, CLIP)
            step = drift + self.stride * torch.randn_like(x)
            x = x + (step if moves is None else step * moves)
        return x

    def slope(self, x, labels=None):
        """grad_x f_y(x), or grad_x log p(x) where labels are None, (n, C, H, W)."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            f = self.decision_function(x)
            f = f.logsumexp(1) if labels is None else f.gather(1, labels[:, None])
            return torch.autograd.grad(f.sum(), x)[0]

    def next_chains(self, n):
        """n chains of the buffer, some of them begun anew: which (n,), and their states (n, C, H, W)."""
        index = torch.randperm(self.chains, device=self.labels.device)[:n]
        anew = torch.rand(len(index), 1, 1, 1, device=index.device) < self.restart
        return index, torch.where(anew, self.fresh(len(index)), self.buffer[index])

    def _loss(self, x, y):
        index, start = self.next_chains(len(x))
        drawn = self.walked(start, self.labels[index], self.walk)
        self.buffer[index] = drawn
        x = x + self.noise * torch.randn_like(x)
        real, false = self.decision_function(torch.cat([x, drawn])).split([len(x), len(drawn)])
        cross_entropy = F.cross_entropy(real, y)
        gap = false.logsumexp(1).mean() - real.logsumexp(1).mean()
        agreement = (false.argmax(1) == self.labels[index]).float().mean()
        return {"loss": cross_entropy + gap, "cross_entropy": cross_entropy, "gap": gap, "chain_agreement": agreement}

    def _denoised(self, x, labels=None):
        return (x + self.noise**2 * self.slope(x, labels)).clamp(0, 1)

    def _chains_of(self, labels):
        """A chain for each of labels (n,), none a second time before all of its class were there once, (n,)."""
        index = torch.empty_like(labels)
        for k in labels.unique():
            own, wanted = torch.nonzero(self.labels == k)[:, 0], int((labels == k).sum())
            shuffled = [own[torch.randperm(len(own), device=own.device)] for _ in range(-(-wanted // len(own)))]
            index[labels == k] = torch.cat(shuffled)[:wanted]
        return index
