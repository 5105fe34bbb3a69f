"""Deep Boltzmann machine: pixels, two layers of hidden units above them, and a label that meets the upper one.

    p(x, y) = 1/Z sum_h,g exp(b.x + c.h + e.g + d_y + h.W x + g.V h + g.U_y)

No sum over h and g in closed form: mean field bounds it from below, with independent units of probabilities q(h), q(g) that take
turns, each the best one given the other. The gradient of the bound at the data, less that of the unnormalised mass at persistent
chains of the model, trains all layers together. Before, each layer is trained as a restricted Boltzmann machine of its own, whose
other side is there twice, to stand for the layer that is still missing: the first one with two copies of x, the second one, over
h and y, with two copies of g. As in `restricted_boltzmann`, pixels are thresholded at 0.5, chains hold their labels, d follows at
the end, units are measured from their means, and independent ones with these means are the cold end of the path:

    p_beta(x, h, y, g) ~ p_0(x) p_0(h) p_0(y) exp(beta (what the machine adds)),        x and g are summed out

Reference: R. Salakhutdinov, G. Hinton, "Deep Boltzmann machines", AISTATS 2009; annealing in h: R. Salakhutdinov, H. Larochelle,
AISTATS 2010; means: G. Montavon, K.-R. Mueller, "Deep Boltzmann machines and the centering trick", 2012.
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

# Rounds of mean field in training and to score; Gibbs steps of a sample, and of a completion, which warms up in the first half.
TRAINING_ROUNDS, SCORING_ROUNDS, ROUNDS = 5, 20, 300


class DeepBoltzmann(BoltzmannMachine):
    """Trained on p(x, y) by one schedule: a first layer, a second one, then both together.

    Args:
        hidden: units of the first hidden layer, h.
        top: units of the second one, g.
        chains: of the model's own, which go on from batch to batch.
        pretraining: share of the steps that each layer is trained alone for.
        steps: batches to train for, in all.
        batch: images in one.
        learning_rate: at its height, of a cosine schedule: the slower the weights, the nearer the chains are to the model's law.
        weight_decay: of AdamW, towards independent units.
    """

    tags = Tags(conditional=True, bound="mean-field bound", binarized="threshold", images_only=True, trained_in_steps=True)

    def __init__(
        self,
        hidden: int = 150,
        top: int = 80,
        chains: int = 100,
        pretraining: float = 0.2,
        steps: int = 5000,
        batch: int = 100,
        learning_rate: float = 0.02,
        weight_decay: float = 0.02,
    ):
        super().__init__()
        self.hidden, self.top, self.persistent, self.pretraining = hidden, top, chains, pretraining
        self.steps, self.batch, self.learning_rate, self.weight_decay = steps, batch, learning_rate, weight_decay

    def build(self, spec):
        """Weights of D pixels, H and G hidden units and K class units; base law; chains. Raises ValueError for a table."""
        self.start(spec, units=self.hidden)
        self.weight = nn.Parameter(0.01 * torch.randn(self.hidden, self.pixels))  # W
        self.top_weight = nn.Parameter(0.01 * torch.randn(self.top, self.hidden))  # V
        self.label_weight = nn.Parameter(torch.randn(self.top, self.classes))  # U
        self.pixel_bias = nn.Parameter(torch.zeros(self.pixels))  # b, less that of the base law
        # The bias of h as the top of the first layer, and as the bottom of the second one; together, c is their mean.
        self.upward_bias, self.downward_bias = (nn.Parameter(torch.zeros(self.hidden)) for _ in range(2))
        self.top_bias = nn.Parameter(torch.zeros(self.top))  # e
        self.register_buffer("label_bias", torch.zeros(self.classes))  # d, less that of the base law
        self.register_buffer("log_prior", torch.zeros(self.classes))
        self.register_buffer("mean", torch.full((self.pixels,), 0.5))  # of x
        self.register_buffer("hidden_mean", torch.full((self.hidden,), 0.5))  # of h after the first layer is trained
        self.register_buffer("chain_label", self.chain_labels(self.persistent))  # they hold it
        self.register_buffer("chains", torch.zeros(len(self.chain_label), self.hidden + self.classes))  # h beside the label
        self.register_buffer("starts", torch.zeros(len(self.chain_label), self.pixels))  # the image that each starts from
        self.register_buffer("step", torch.tensor(0))

    def fit(self, data, trainer):
        """Trains for all its steps: what could tell on val when to stop is log p(x), which takes log Z."""
        self.build(data.spec)
        # Half an image more of each colour: no pixel is certain.
        self.mean = (binary(data.x).sum(0) + 0.5) / (len(data.x) + 1)
        self.log_prior = log_class_prior(data.y, self.classes)
        self._start_from_class_means(data)
        objective = Objective(self._loss, self.parameters(), self.learning_rate, weight_decay=self.weight_decay)
        trainer.run(self, data, [objective], steps=self.steps, batch=self.batch)
        self.label_bias = -self.log_z_by_class()

    def log_joint_unnormalized(self, x):
        """A lower bound of log p(x, y) + log Z in nats, (N, K)."""
        x, of_labels = binary(x), [self._from_label(k) for k in range(self.classes)]
        bounds = [self._bound(x, self._from_pixels(x), of_label, SCORING_ROUNDS) for of_label in of_labels]
        return torch.stack(bounds, 1) + self.log_prior + self.label_bias

    def log_annealed(self, s, beta):
        """log p_beta(s) + log Z_beta in nats, (n,), with Z_0 = 1: s (n, H + K) are h and the label, x and g are summed out."""
        base, hidden, (to_pixels, to_top) = self.mean.logit(), self.hidden_mean.logit(), self._inputs(s)
        # At beta 0: 2^G states of g, and the normalisers of h and x; that of the label is 1 already.
        cold = self.top * math.log(2) + F.softplus(base).sum() + F.softplus(hidden).sum()
        bias = torch.cat([hidden.lerp(self._bias() - self.weight @ self.mean, beta), self.log_prior + beta * self.label_bias])
        return s @ bias + F.softplus(base + beta * to_pixels).sum(1) + F.softplus(beta * to_top).sum(1) - (1 - beta) * cold

    def gibbs_step(self, s, beta):
        """A draw of x and g given h and the label, then one of these given x and g, under p_beta."""
        return self._step(s, beta)[0]

    def base_sample(self, n):
        """n draws at beta 0, (n, H + K): every unit and the label by itself."""
        labels = torch.multinomial(self.log_prior.exp(), n, replacement=True)
        return self.labelled(drawn(self.hidden_mean.expand(n, -1)), labels)

    def state_of(self, x):
        """h and a label, (N, H + K): the label drawn by predict_proba, h by its mean field."""
        labels = torch.multinomial(self.predict_proba(x), 1)[:, 0]
        return self.labelled(drawn(self._mean_field(self._from_pixels(x), self._from_label(labels), SCORING_ROUNDS)[0]), labels)

    def sample(self, n, labels=None):
        """n binary images: chains of the training go on from where they ended, those of the label, or of one from the prior."""
        if labels is None:
            labels = torch.multinomial(self.log_prior.exp(), n, replacement=True)
        of_label = (labels[:, None] == self.chain_label).float()  # (n, chains)
        s = self.chains[torch.multinomial(of_label, 1)[:, 0]]
        for _ in range(ROUNDS):
            s, x = self._step(self.labelled(s, labels), 1.0)
        return x.view(n, *self.shape)  # (n, D) -> (n, C, H, W)

    def reconstruct(self, x):
        """Each pixel's probability given the mean field of h."""
        h = self.encode(x)[:, : self.hidden]
        return (self.mean.logit() + self.pixel_bias + h @ self.weight).sigmoid().view(x.shape)  # (N, D) -> (N, C, H, W)

    def inpaint(self, x, mask):
        """The mean of the unknown pixels (mask 0) over a chain in which the known ones, thresholded, are held."""
        known, s, total = mask.bool().expand_as(x), self.base_sample(len(x)), 0.0
        held, fixed = binary(x.where(known, 0.0)), known.flatten(1)
        for i in range(ROUNDS):
            s, pixels = self._step(s, min(1.0, 2 * i / ROUNDS), held, fixed)
            total = total + pixels * (i >= ROUNDS // 2)
        return x.where(known, (total / (ROUNDS - ROUNDS // 2)).view(x.shape))  # (N, D) -> (N, C, H, W)

    def encode(self, x):
        """The mean field of both hidden layers, over the classes by their probabilities, (N, H + G)."""
        of_labels, from_pixels = self.predict_proba(x).T, self._from_pixels(x)  # (K, N)
        fields = (self._mean_field(from_pixels, self._from_label(k), SCORING_ROUNDS) for k in range(self.classes))
        return sum(weight[:, None] * torch.cat(field, 1) for weight, field in zip(of_labels, fields, strict=True))

    def picture(self, x, y):
        """The weights of the hidden units that have the largest ones, those of the second layer through the first."""
        layers = self.weight.detach(), (self.top_weight @ self.weight).detach()  # (H, D), (G, D)
        strongest = [layer[layer.norm(dim=1).argsort(descending=True)[:20]] for layer in layers]
        images = torch.cat(strongest).view(-1, *self.shape)  # (n, D) -> (n, C, H, W)
        caption = "What turns the strongest units on (red) and off (blue): of the first layer, then of the second, by way of it."
        return Visualization(images, columns=min(10, len(images)), caption=caption, signed=True)

    @torch.no_grad()
    def _start_from_class_means(self, data):
        """Weights by which a label moves the pixels towards the mean of its class, and an image of its label for each chain."""
        label = F.one_hot(data.y, self.classes).float()
        white = (label.T @ binary(data.x) + self.mean) / (label.sum(0) + 1)[:, None]  # (K, D)
        codes = torch.randn(self.hidden, self.classes)  # of h, to which label and mean image both point
        self.weight += 2 / self.hidden * codes @ (white.logit() - self.mean.logit())
        self.top_weight += 2 / self.top * self.label_weight @ codes.T
        self.starts = binary(data.x)[torch.multinomial(label.T[self.chain_label], 1)[:, 0]]

    def _loss(self, x, y):
        """Log mass of the chains less that of the batch: of one layer alone, or of the machine and its bound."""
        alone = round(self.pretraining * self.steps)
        stage = min(2, int(self.step) // alone) if alone else 2
        if int(self.step) in (0, alone, 2 * alone):
            # Another machine, and other chains: from images of their labels, not from where the last machine left them.
            bias = (self._bias() if stage == 2 else self.upward_bias).detach()
            self.chains = self.labelled(drawn((bias + 2 * self._from_pixels(self.starts).detach()).sigmoid()), self.chain_label)
        self.step += 1
        of_data, of_chains = (self._first_layer, self._second_layer, self._together)[stage](binary(x), y)
        return self.class_weights(self.chain_label, y) @ of_chains - of_data.mean()

    def _first_layer(self, x, y):
        """Log masses of the batch and of the chains, under two copies of x and h; h alone moves on."""
        inputs, base = self.upward_bias + 2 * self._from_pixels(x), self.mean.logit() + self.pixel_bias
        with torch.no_grad():
            pixels = (base + self.chains[:, : self.hidden] @ self.weight).sigmoid()
            both = drawn(pixels) + drawn(pixels) - 2 * self.mean
            self.chains = self.labelled(drawn((self.upward_bias + both @ self.weight.T).sigmoid()), self.chain_label)
            self.hidden_mean.lerp_(inputs.sigmoid().mean(0).clamp(0.01, 0.99), 0.1)
        h = self.chains[:, : self.hidden]
        of_chains = h @ (self.upward_bias - 2 * self.weight @ self.mean) + 2 * F.softplus(base + h @ self.weight).sum(1)
        return 2 * x @ base + F.softplus(inputs).sum(1), of_chains

    def _second_layer(self, x, y):
        """The same under h, y and two copies of g."""
        bias = self.hidden_mean.logit() + self.downward_bias
        with torch.no_grad():
            top = self._to_top(self.chains[:, : self.hidden], self._from_label(self.chain_label)).sigmoid()
            of_chains = drawn((bias + (drawn(top) + drawn(top)) @ self.top_weight).sigmoid())
            self.chains = self.labelled(of_chains, self.chain_label)
            h = torch.cat([drawn((self.upward_bias + 2 * self._from_pixels(x)).sigmoid()), of_chains])
        inputs = self._to_top(h, self._from_label(torch.cat([y, self.chain_label])))
        return (h @ bias + 2 * F.softplus(inputs).sum(1)).split([len(x), len(self.chain_label)])

    def _together(self, x, y):
        with torch.no_grad():
            self.chains = self.labelled(self.gibbs_step(self.chains, 1.0), self.chain_label)
        return self._bound(x, self._from_pixels(x), self._from_label(y), TRAINING_ROUNDS), self.log_annealed(self.chains, 1.0)

    def _mean_field(self, from_pixels, from_label, rounds):
        """q(h) and q(g), (N, H) and (N, G), from the pass upwards with the first layer's part twice."""
        h = (self._bias() + 2 * from_pixels).sigmoid()
        for _ in range(rounds):
            g = self._to_top(h, from_label).sigmoid()
            h = (self._bias() + from_pixels + g @ self.top_weight).sigmoid()
        return h, g

    def _bound(self, x, from_pixels, from_label, rounds):
        """A lower bound of log p(x, y) + log Z but for d_y, (N,): that of q(g), and of q(h) the best one given q(g)."""
        with torch.no_grad():
            g = self._mean_field(from_pixels, from_label, rounds)[1]
            entropy = F.binary_cross_entropy(g, g, reduction="none").sum(1)
        of_hidden = F.softplus(self._bias() + from_pixels + g @ self.top_weight).sum(1)
        of_top = (g * self._to_top(torch.zeros_like(self.hidden_mean), from_label)).sum(1)
        return x @ (self.mean.logit() + self.pixel_bias) + of_hidden + of_top + entropy

    def _step(self, s, beta, held=None, fixed=None):
        """The next state, and the pixels on the way to it, of which those `fixed` are as in `held`."""
        to_pixels, to_top = self._inputs(s)
        x, g = drawn((self.mean.logit() + beta * to_pixels).sigmoid()), drawn((beta * to_top).sigmoid())
        x = x if held is None else held.where(fixed, x)
        h = self.hidden_mean.logit().lerp(self._bias() + self._from_pixels(x) + g @ self.top_weight, beta).sigmoid()
        label = self.log_prior + beta * (self.label_bias + (g @ self.label_weight))
        return self.labelled(drawn(h), torch.multinomial(label.softmax(1), 1)[:, 0]), x

    def _inputs(self, s):
        """What the state gives to x and g at beta 1, less the base law's part: (n, D) and (n, G)."""
        h, label = s.split([self.hidden, self.classes], 1)
        return self.pixel_bias + h @ self.weight, self._to_top(h, (label - self.log_prior.exp()) @ self.label_weight.T)

    def _bias(self):
        return (self.upward_bias + self.downward_bias + self.hidden_mean.logit()) / 2

    def _from_pixels(self, x):
        return (binary(x) - self.mean) @ self.weight.T  # (N, H)

    def _from_label(self, labels):
        return self.label_weight.T[labels] - self.label_weight @ self.log_prior.exp()  # (.., G)

    def _to_top(self, h, from_label):
        return F.linear(h - self.hidden_mean, self.top_weight, self.top_bias) + from_label  # (n, G)
