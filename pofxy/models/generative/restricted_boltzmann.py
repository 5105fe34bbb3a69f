"""Restricted Boltzmann machine with class units: pixels and a label meet in a layer of hidden units, and nowhere else.

    p(x, y) = 1/Z sum_h exp(b.x + d_y + h.(c + W x + U_y)) = 1/Z exp(b.x + d_y + sum_j softplus(c + W x + U_y)_j)

Given h, pixels and label are independent; given both, the hidden units are: a Gibbs step takes two matrix products. The gradient
of log p(x | y) is that of the unnormalised term at the data, less its mean under the model given y, which chains estimate that go
on from one batch to the next (persistent contrastive divergence). Each chain holds its label, so none has to find its way from
class to class. That is maximum likelihood of p(x, y), too, for d is free to make p(y) what it is in the data: annealing gives, at
the end, Z_y of each class. p(y | x) then needs no Z, and log p(x) takes it from annealing over all classes.

Pixels are binary: images are thresholded at 0.5. Units are measured from their mean in the data, which makes training twice as
fast, and b and d from those of independent units with these means, the law at the cold end of the path to anneal along:

    p_beta(s, h) ~ exp(a.s + beta (b.s + h.(c + W (s - mean)))),        s = (x, y as one of K), W and U as one matrix

References: class units: H. Larochelle, Y. Bengio, ICML 2008; persistent chains: T. Tieleman, ICML 2008; contrastive divergence:
G. E. Hinton, Neural Computation 2002; annealing: R. Salakhutdinov, I. Murray, ICML 2008; the mean: G. Montavon, K.-R. Mueller,
"Deep Boltzmann machines and the centering trick", 2012.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from pofxy.base.bayes import log_class_prior
from pofxy.base.tags import Tags
from pofxy.base.visualization import Visualization
from pofxy.nets.boltzmann import BoltzmannMachine, binary, drawn
from pofxy.training.trainer import Objective

# Gibbs steps of a sample or a completion, warming up from the base law in the first half.
ROUNDS = 600
FILTERS = 40


class RestrictedBoltzmann(BoltzmannMachine):
    """Trained on p(x, y); every hidden unit sees all pixels and the label.

    Args:
        hidden: units.
        chains: of the model's own, which go on from batch to batch.
        gibbs: steps of these chains per batch.
        steps: batches to train for.
        batch: images in one.
        learning_rate: at its height, of a cosine schedule: the slower the weights, the nearer the chains are to the model's law.
        weight_decay: of AdamW, towards independent units.
    """

    tags = Tags(conditional=True, binarized="threshold", images_only=True, trained_in_steps=True)

    def __init__(
        self,
        hidden: int = 150,
        chains: int = 100,
        gibbs: int = 1,
        steps: int = 4000,
        batch: int = 100,
        learning_rate: float = 0.02,
        weight_decay: float = 0.04,
    ):
        super().__init__()
        self.hidden, self.persistent, self.gibbs = hidden, chains, gibbs
        self.steps, self.batch, self.learning_rate, self.weight_decay = steps, batch, learning_rate, weight_decay

    def build(self, spec):
        """Weights of H hidden units to D pixels and K class units; base law; chains. Raises ValueError for a table."""
        self.start(spec)
        visible = self.pixels + self.classes
        self.weight = nn.Parameter(0.01 * torch.randn(self.hidden, visible))  # (H, D + K): W beside U
        self.hidden_bias = nn.Parameter(torch.zeros(self.hidden))  # c
        # b and d, less those of the base law.
        self.pixel_bias = nn.Parameter(torch.zeros(self.pixels))
        self.register_buffer("label_bias", torch.zeros(self.classes))
        self.register_buffer("base", torch.zeros(visible))  # a: logits of the pixels, log of the class prior
        self.register_buffer("mean", torch.zeros(visible))
        labels = self.chain_labels(self.persistent)
        self.register_buffer("chain_label", labels)  # they hold it
        self.register_buffer("chains", self.labelled(torch.zeros(len(labels), self.pixels), labels))

    def fit(self, data, trainer):
        """Trains for all its steps: what could tell on val when to stop is log p(x), which takes log Z."""
        self.build(data.spec)
        # Half an image more of each colour: no pixel is certain.
        white = (binary(data.x).sum(0) + 0.5) / (len(data.x) + 1)
        self.base = torch.cat([white.logit(), log_class_prior(data.y, self.classes)])
        self.mean = torch.cat([white, self.base[self.pixels :].exp()])
        self._start_from_class_means(data)
        self.chains = self.labelled(self.base_sample(len(self.chains)), self.chain_label)
        objective = Objective(self._loss, self.parameters(), self.learning_rate, weight_decay=self.weight_decay)
        trainer.run(self, data, [objective], steps=self.steps, batch=self.batch)
        self.label_bias = -self.log_z_by_class()

    def log_joint_unnormalized(self, x):
        """log p(x, y) + log Z in nats, (N, K): exact."""
        bias = self.base + self._bias()
        of_hidden = torch.stack([F.softplus(inputs).sum(1) for inputs in self._inputs_by_class(x)], 1)
        return (binary(x) @ bias[: self.pixels])[:, None] + bias[self.pixels :] + of_hidden

    def log_annealed(self, s, beta):
        """log p_beta(s) + log Z_beta in nats, (n,), with Z_0 = 1: s (n, D + K) are pixels and label, h is summed out."""
        # At beta 0: 2^H hidden states, and the normaliser of the pixels; that of the label is 1 already.
        cold = self.hidden * math.log(2) + F.softplus(self.base[: self.pixels]).sum()
        inputs = F.softplus(beta * self._to_hidden(s)).sum(1)
        return s @ (self.base + beta * self._bias()) + inputs - (1 - beta) * cold

    def gibbs_step(self, s, beta):
        """A draw of h given s, then one of s given h, under p_beta."""
        h = drawn((beta * self._to_hidden(s)).sigmoid())
        return self._draw(self.base + beta * (self._bias() + h @ self.weight))

    def base_sample(self, n):
        """n draws at beta 0, (n, D + K): every pixel and the label by itself."""
        return self._draw(self.base.expand(n, -1))

    def state_of(self, x):
        """Pixels and a label drawn from p(y | x), (N, D + K)."""
        return self.labelled(binary(x), torch.multinomial(self.predict_proba(x), 1)[:, 0])

    def sample(self, n, labels=None):
        """n binary images at the end of chains that hold their label, drawn from the class prior where none is given."""
        if labels is None:
            labels = torch.multinomial(self.base[self.pixels :].exp(), n, replacement=True)
        held = self.labelled(torch.zeros(n, self.pixels, device=self.base.device), labels)
        fixed = torch.arange(self.pixels + self.classes, device=self.base.device) >= self.pixels
        return self._run(held, fixed.expand(n, -1))[0].view(n, *self.shape)  # (n, D) -> (n, C, H, W)

    def reconstruct(self, x):
        """Each pixel's probability given the mean of the hidden units, which is exact over the classes."""
        logits = (self.base + self._bias() + self.encode(x) @ self.weight)[:, : self.pixels]
        return logits.sigmoid().view(x.shape)  # (N, D) -> (N, C, H, W)

    def inpaint(self, x, mask):
        """The mean of the unknown pixels (mask 0) over a chain in which the known ones, thresholded, are held."""
        known = mask.bool().expand_as(x)
        free = torch.zeros(len(x), self.classes, device=x.device)
        held = torch.cat([binary(x.where(known, 0.0)), free], 1)  # (N, D + K)
        mean = self._run(held, torch.cat([known.flatten(1), free.bool()], 1))[1]
        return x.where(known, mean.view(x.shape))  # (N, D) -> (N, C, H, W)

    def encode(self, x):
        """p(h = 1 | x) = sum_y p(y | x) p(h = 1 | x, y), (N, H)."""
        posterior = self.predict_proba(x)
        return sum(posterior[:, k, None] * inputs.sigmoid() for k, inputs in enumerate(self._inputs_by_class(x)))

    def picture(self, x, y):
        """The weights of the hidden units that have the largest ones."""
        filters = self.weight.detach()[:, : self.pixels]
        strongest = filters.norm(dim=1).argsort(descending=True)[:FILTERS]
        images = filters[strongest].view(-1, *self.shape)  # (n, D) -> (n, C, H, W)
        caption = "What the strongest hidden units look for: red pixels turn a unit on, blue ones off."
        return Visualization(images, columns=min(10, len(images)), caption=caption, signed=True)

    @torch.no_grad()
    def _start_from_class_means(self, data):
        """Random U, and W such that a label moves the pixels towards the mean of its class from the first step on.

        To second order in the weights a label moves the logits of the pixels by U W / 4, here by half of what naive Bayes would.
        """
        label = F.one_hot(data.y, self.classes).float()
        white = (label.T @ binary(data.x) + self.mean[: self.pixels]) / (label.sum(0) + 1)[:, None]  # (K, D)
        of_labels = torch.randn(self.hidden, self.classes)  # its columns are nearly at right angles, of length sqrt(H)
        self.weight[:, self.pixels :] = of_labels
        self.weight[:, : self.pixels] += 4 / self.hidden * of_labels @ (white.logit() - self.base[: self.pixels]) / 2

    def _loss(self, x, y):
        """Mean free energy of the batch less that of the chains of its labels: its gradient is that of -log p(x | y)."""
        data = self.labelled(binary(x), y)
        with torch.no_grad():
            for _ in range(self.gibbs):
                self.chains = self.labelled(self.gibbs_step(self.chains, 1.0), self.chain_label)
        of_data, of_chains = self.log_annealed(torch.cat([data, self.chains]), 1.0).split([len(x), len(self.chains)])
        return self.class_weights(self.chain_label, y) @ of_chains - of_data.mean()

    def _bias(self):
        return torch.cat([self.pixel_bias, self.label_bias])

    def _to_hidden(self, s):
        return F.linear(s - self.mean, self.weight, self.hidden_bias)

    def _inputs_by_class(self, x):
        """Inputs of the hidden units for each class in turn, (N, H): all at once would not stay in the processor's cache."""
        of_pixels = self._to_hidden(F.pad(binary(x), (0, self.classes)))
        return (of_pixels + self.weight[:, self.pixels + k] for k in range(self.classes))

    def _draw(self, logits):
        """Independent pixels and a label, (n, D + K)."""
        pixels, label = logits.split([self.pixels, self.classes], 1)
        return self.labelled(drawn(pixels.sigmoid()), torch.multinomial(label.softmax(1), 1)[:, 0])

    def _run(self, held, fixed):
        """Chains with the entries `fixed` (n, D + K) as in `held`: the last pixels, and their mean in the second half."""
        s, total = held.where(fixed, self.base_sample(len(held))), 0.0
        for i in range(ROUNDS):
            s = held.where(fixed, self.gibbs_step(s, min(1.0, 2 * i / ROUNDS)))
            if i >= ROUNDS // 2:
                total = total + s
        return s[:, : self.pixels], total[:, : self.pixels] / (ROUNDS - ROUNDS // 2)
