"""Restricted Boltzmann machine with class units: pixels and a label, each connected to one layer of hidden units only.

    p(x, y) = 1/Z sum_h exp(b.x + d_y + h.(c + W x + U_y)) = 1/Z exp(b.x + d_y + sum_j softplus(c + W x + U_y)_j)

Given h, pixels and label are independent; given both, the hidden units are independent. A Gibbs step takes two matrix products.
The gradient of log p(x | y) is the gradient of the log unnormalized mass at the data, minus its mean under the model given y.
Markov chains that continue from one batch to the next estimate that mean (persistent contrastive divergence). Each chain keeps
its label fixed, so that none has to move from class to class. This is maximum likelihood of p(x, y) as well, because d is free to
make p(y) equal to that of the data: annealed importance sampling (AIS) gives Z_y of each class at the end. p(y | x) needs no Z,
and log p(x) takes Z from annealing over all classes.

Pixels are binary: images are thresholded at 0.5. Units are centered, that is, their mean in the data is subtracted, which makes
training twice as fast. b and d are relative to those of independent units with these means. That distribution is the start of
the path for annealing:

    p_beta(s, h) ~ exp(a.s + beta (b.s + h.(c + W (s - mean)))),        s = (x, y as one of K), W and U as one matrix

References: class units: H. Larochelle, Y. Bengio, "Classification using discriminative restricted Boltzmann machines", ICML 2008.
https://doi.org/10.1145/1390156.1390224
Persistent chains: T. Tieleman, "Training restricted Boltzmann machines using approximations to the likelihood gradient", ICML
2008. https://doi.org/10.1145/1390156.1390290
Contrastive divergence: G. E. Hinton, "Training products of experts by minimizing contrastive divergence", Neural Computation
14(8), 2002. https://doi.org/10.1162/089976602760128018
Annealing: R. Salakhutdinov, I. Murray, "On the quantitative analysis of deep belief networks", ICML 2008.
https://doi.org/10.1145/1390156.1390266
Centering: G. Montavon, K.-R. Mueller, "Deep Boltzmann machines and the centering trick", Neural Networks: Tricks of the Trade,
2012. https://doi.org/10.1007/978-3-642-35289-8_33
"""

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pofxy.base.bayes import log_class_prior
from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.hyperparameters import Optimization
from pofxy.base.tags import Tags
from pofxy.base.visualization import Visualization
from pofxy.nets.boltzmann import BoltzmannMachine, binarize, sample_bernoulli
from pofxy.training.trainer import Trainer

# Gibbs steps of a sample or a completion; beta rises from 0 to 1 in the first half.
GIBBS_STEPS = 600
# Hidden units in the visualization.
FILTERS = 40


class RestrictedBoltzmann(BoltzmannMachine):
    """Trained on p(x, y); every hidden unit is connected to all pixels and to the label.

    Args:
        hidden: units.
        chains: persistent Markov chains of the model, which continue from batch to batch.
        gibbs: Gibbs steps of these chains per batch.
        optimization: steps, batch, learning rate and weight decay of AdamW with a cosine schedule. The smaller the learning rate,
            the nearer the chains are to the model's distribution. Weight decay pulls towards independent units.
    """

    tags = Tags(conditional=True, binarized="threshold", images_only=True, trained_in_steps=True, inpainting_passes=600)

    label_bias: Tensor
    base_logits: Tensor
    mean: Tensor
    chain_labels: Tensor
    chains: Tensor

    def __init__(
        self,
        hidden: int = 150,
        chains: int = 100,
        gibbs: int = 1,
        optimization: Optimization = Optimization(steps=4000, batch=100, learning_rate=0.02, weight_decay=0.04),
    ):
        super().__init__()
        self.hidden = hidden
        self.n_chains = chains
        self.gibbs = gibbs
        self.optimization = optimization

    def build(self, spec: DataSpec) -> None:
        """Makes weights of H hidden units to D pixels and K class units, base distribution and chains.

        Raises:
            ValueError: for a table.
        """
        self.start(spec)
        visible = self.pixels + self.classes
        self.weight = nn.Parameter(0.01 * torch.randn(self.hidden, visible))  # (H, D + K): W beside U
        self.hidden_bias = nn.Parameter(torch.zeros(self.hidden))  # c
        # b and d, relative to those of the base distribution.
        self.pixel_bias = nn.Parameter(torch.zeros(self.pixels))
        self.register_buffer("label_bias", torch.zeros(self.classes))
        self.register_buffer("base_logits", torch.zeros(visible))  # a: logits of the pixels, log of the class prior
        self.register_buffer("mean", torch.zeros(visible))
        labels = self.balanced_labels(self.n_chains)
        self.register_buffer("chain_labels", labels)  # fixed
        self.register_buffer("chains", self.with_labels(torch.zeros(len(labels), self.pixels), labels))

    def fit(self, data: TrainingData, trainer: Trainer) -> None:
        """Trains for all steps. There is no early stopping on val: it would need log p(x), and so log Z."""
        self.build(data.spec)
        # Half an image more of each color, so that no pixel has probability 0 or 1.
        white = (binarize(data.x).sum(0) + 0.5) / (len(data.x) + 1)
        self.base_logits = torch.cat([white.logit(), log_class_prior(data.y, self.classes)])
        self.mean = torch.cat([white, self.base_logits[self.pixels :].exp()])
        self._initialize_from_class_means(data)
        self.chains = self.with_labels(self.base_sample(len(self.chains)), self.chain_labels)
        trainer.minimize(self, data, self._loss, self.optimization)
        self.label_bias = -self.log_z_by_class()

    def log_joint_unnormalized(self, x: Tensor) -> Tensor:
        """log p(x, y) + log Z in nats, (N, K): exact."""
        bias = self.base_logits + self._bias()
        hidden_term = torch.stack([F.softplus(inputs).sum(1) for inputs in self._inputs_by_class(x)], 1)
        return (binarize(x) @ bias[: self.pixels])[:, None] + bias[self.pixels :] + hidden_term

    def log_annealed(self, s: Tensor, beta: float) -> Tensor:
        """log p_beta(s) + log Z_beta in nats, (n,), with Z_0 = 1: s (n, D + K) are pixels and label, h is summed out."""
        # At beta 0: 2^H hidden states, and the normalizer of the pixels; that of the label is 1 already.
        log_z_base = self.hidden * math.log(2) + F.softplus(self.base_logits[: self.pixels]).sum()
        hidden_term = F.softplus(beta * self._to_hidden(s)).sum(1)
        return s @ (self.base_logits + beta * self._bias()) + hidden_term - (1 - beta) * log_z_base

    def gibbs_step(self, s: Tensor, beta: float) -> Tensor:
        """Samples h given s, then s given h, under p_beta: (n, D + K) -> the same shape."""
        h = sample_bernoulli((beta * self._to_hidden(s)).sigmoid())
        return self._sample_visible(self.base_logits + beta * (self._bias() + h @ self.weight))

    def base_sample(self, n: int) -> Tensor:
        """n samples at beta 0, (n, D + K): independent pixels and label."""
        return self._sample_visible(self.base_logits.expand(n, -1))

    def state_of(self, x: Tensor) -> Tensor:
        """The pixels, and a label sampled from p(y | x), (N, D + K)."""
        return self.with_labels(binarize(x), torch.multinomial(self.predict_proba(x), 1)[:, 0])

    def sample(self, n: int, labels: Tensor | None = None) -> Tensor:
        """n binary images at the end of chains with fixed labels, sampled from the class prior where none are given."""
        if labels is None:
            labels = torch.multinomial(self.base_logits[self.pixels :].exp(), n, replacement=True)
        values = self.with_labels(torch.zeros(n, self.pixels, device=self.base_logits.device), labels)
        fixed = torch.arange(self.pixels + self.classes, device=self.base_logits.device) >= self.pixels
        return self._run_chains(values, fixed.expand(n, -1))[0].view(n, *self.shape)  # (n, D) -> (n, C, H, W)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Each pixel's probability given the posterior mean of the hidden units, which is exact over the classes."""
        logits = (self.base_logits + self._bias() + self.encode(x) @ self.weight)[:, : self.pixels]
        return logits.sigmoid().view(x.shape)  # (N, D) -> (N, C, H, W)

    def inpaint(self, x: Tensor, mask: Tensor) -> Tensor:
        """The mean of the unknown pixels (mask 0) over a chain in which the known ones, thresholded, are fixed."""
        known = mask.bool().expand_as(x)
        free = torch.zeros(len(x), self.classes, device=x.device)
        values = torch.cat([binarize(x.where(known, 0.0)), free], 1)  # (N, D + K)
        mean = self._run_chains(values, torch.cat([known.flatten(1), free.bool()], 1))[1]
        return x.where(known, mean.view(x.shape))  # (N, D) -> (N, C, H, W)

    def encode(self, x: Tensor) -> Tensor:
        """p(h = 1 | x) = sum_y p(y | x) p(h = 1 | x, y), (N, H)."""
        posterior = self.predict_proba(x)
        weighted = (posterior[:, k, None] * inputs.sigmoid() for k, inputs in enumerate(self._inputs_by_class(x)))
        return cast(Tensor, sum(weighted))

    def picture(self, x: Tensor, y: Tensor) -> Visualization:
        """The weights of the hidden units with the largest norms."""
        filters = self.weight.detach()[:, : self.pixels]
        strongest = filters.norm(dim=1).argsort(descending=True)[:FILTERS]
        images = filters[strongest].view(-1, *self.shape)  # (n, D) -> (n, C, H, W)
        caption = "Weights of the hidden units with the largest weights: red pixels turn a unit on, blue ones turn it off."
        return Visualization(images, columns=min(10, len(images)), caption=caption, signed=True)

    @torch.no_grad()
    def _initialize_from_class_means(self, data):
        """Random U, and W such that a label moves the pixels towards the mean of its class from the first step on.

        To second order in the weights a label moves the logits of the pixels by U W / 4, here by half of naive Bayes' difference.
        """
        label = F.one_hot(data.y, self.classes).float()
        white = (label.T @ binarize(data.x) + self.mean[: self.pixels]) / (label.sum(0) + 1)[:, None]  # (K, D)
        label_weight = torch.randn(self.hidden, self.classes)  # U: nearly orthogonal columns of length sqrt(H)
        self.weight[:, self.pixels :] = label_weight
        self.weight[:, : self.pixels] += 4 / self.hidden * label_weight @ (white.logit() - self.base_logits[: self.pixels]) / 2

    def _loss(self, x, y):
        """Mean free energy of the batch minus that of the chains of its labels: its gradient is that of -log p(x | y)."""
        data = self.with_labels(binarize(x), y)
        with torch.no_grad():
            for _ in range(self.gibbs):
                self.chains = self.with_labels(self.gibbs_step(self.chains, 1.0), self.chain_labels)
        log_masses = self.log_annealed(torch.cat([data, self.chains]), 1.0)
        data_log_mass, chain_log_mass = log_masses.split([len(x), len(self.chains)])
        return self.class_weights(self.chain_labels, y) @ chain_log_mass - data_log_mass.mean()

    def _bias(self):
        return torch.cat([self.pixel_bias, self.label_bias])

    def _to_hidden(self, s):
        return F.linear(s - self.mean, self.weight, self.hidden_bias)

    def _inputs_by_class(self, x):
        """Inputs of the hidden units for each class in turn, (N, H): all at once would not stay in the processor's cache."""
        pixel_inputs = self._to_hidden(F.pad(binarize(x), (0, self.classes)))
        return (pixel_inputs + self.weight[:, self.pixels + k] for k in range(self.classes))

    def _sample_visible(self, logits):
        """Independent pixels and a label, (n, D + K)."""
        pixels, label = logits.split([self.pixels, self.classes], 1)
        return self.with_labels(sample_bernoulli(pixels.sigmoid()), torch.multinomial(label.softmax(1), 1)[:, 0])

    def _run_chains(self, values, fixed):
        """Chains whose entries `fixed` (n, D + K) stay at their `values`: the last pixels, and their mean in the second half."""
        s = values.where(fixed, self.base_sample(len(values)))
        total = 0.0
        for i in range(GIBBS_STEPS):
            s = values.where(fixed, self.gibbs_step(s, min(1.0, 2 * i / GIBBS_STEPS)))
            if i >= GIBBS_STEPS // 2:
                total = total + s
        return s[:, : self.pixels], cast(Tensor, total)[:, : self.pixels] / (GIBBS_STEPS - GIBBS_STEPS // 2)
