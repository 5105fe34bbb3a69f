"""Deep Boltzmann machine: pixels, two layers of hidden units above them, and a label connected to the upper layer.

    p(x, y) = 1/Z sum_h,g exp(b.x + c.h + e.g + d_y + h.W x + g.V h + g.U_y)

The sum over h and g has no closed form. Mean field gives a lower bound: independent units with probabilities q(h) and q(g), which
are optimized in turn, each given the other. Training follows the gradient of the bound at the data, minus the gradient of the log
unnormalized mass at persistent Markov chains of the model, for all layers jointly.

Before that each layer is pretrained as a restricted Boltzmann machine of its own. It has two copies of one side, in place of the
layer that is still missing: the first layer has two copies of x; the second layer, over h and y, has two copies of g.

As in `restricted_boltzmann`, pixels are thresholded at 0.5, chains keep their labels fixed, d is estimated at the end, and units
are centered. Independent units with these means are the base distribution of the path for annealing:

    p_beta(x, h, y, g) ~ p_0(x) p_0(h) p_0(y) exp(beta (the machine's terms)),        x and g are summed out

Reference: R. Salakhutdinov, G. Hinton, "Deep Boltzmann machines", AISTATS 2009.
https://proceedings.mlr.press/v5/salakhutdinov09a.html
Annealing over h: R. Salakhutdinov, H. Larochelle, "Efficient learning of deep Boltzmann machines", AISTATS 2010.
https://proceedings.mlr.press/v9/salakhutdinov10a.html
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

# Rounds of mean field in training, and for scores.
TRAINING_ROUNDS = 5
SCORING_ROUNDS = 20
# Gibbs steps of a sample or a completion; in a completion beta rises from 0 to 1 in the first half.
GIBBS_STEPS = 300
# Hidden units of each layer in the visualization.
FILTERS = 20


class DeepBoltzmann(BoltzmannMachine):
    """Trained on p(x, y) in one schedule: the first layer, the second layer, then both jointly.

    Args:
        hidden: units of the first hidden layer, h.
        top: units of the second hidden layer, g.
        chains: persistent Markov chains of the model, which continue from batch to batch.
        pretraining: share of the steps in which each layer is trained alone.
        optimization: steps in all, batch, learning rate and weight decay of AdamW with a cosine schedule. The smaller the
            learning rate, the nearer the chains are to the model's distribution. Weight decay pulls towards independent units.
    """

    tags = Tags(
        conditional=True,
        bound="mean-field bound",
        binarized="threshold",
        images_only=True,
        trained_in_steps=True,
        passes=20,
        inpainting_passes=300,
        passes_per_class=True,
    )

    label_bias: Tensor
    log_prior: Tensor
    mean: Tensor
    hidden_mean: Tensor
    chain_labels: Tensor
    chains: Tensor
    initial_images: Tensor
    step: Tensor

    def __init__(
        self,
        hidden: int = 150,
        top: int = 80,
        chains: int = 100,
        pretraining: float = 0.2,
        optimization: Optimization = Optimization(steps=5000, batch=100, learning_rate=0.02, weight_decay=0.02),
    ):
        super().__init__()
        self.hidden = hidden
        self.top = top
        self.n_chains = chains
        self.pretraining = pretraining
        self.optimization = optimization

    def build(self, spec: DataSpec) -> None:
        """Makes weights of D pixels, H and G hidden units and K class units, base distribution and chains.

        Raises:
            ValueError: for a table.
        """
        self.start(spec, units=self.hidden)
        self.weight = nn.Parameter(0.01 * torch.randn(self.hidden, self.pixels))  # W
        self.top_weight = nn.Parameter(0.01 * torch.randn(self.top, self.hidden))  # V
        self.label_weight = nn.Parameter(torch.randn(self.top, self.classes))  # U
        self.pixel_bias = nn.Parameter(torch.zeros(self.pixels))  # b, relative to the base distribution
        # The bias of h as the upper side of the first layer, and as the lower side of the second; jointly, c is their mean.
        self.upward_bias = nn.Parameter(torch.zeros(self.hidden))
        self.downward_bias = nn.Parameter(torch.zeros(self.hidden))
        self.top_bias = nn.Parameter(torch.zeros(self.top))  # e
        self.register_buffer("label_bias", torch.zeros(self.classes))  # d, relative to the base distribution
        self.register_buffer("log_prior", torch.zeros(self.classes))
        self.register_buffer("mean", torch.full((self.pixels,), 0.5))  # of x
        self.register_buffer("hidden_mean", torch.full((self.hidden,), 0.5))  # of h after the first layer is trained
        self.register_buffer("chain_labels", self.balanced_labels(self.n_chains))  # fixed
        n = len(self.chain_labels)
        self.register_buffer("chains", torch.zeros(n, self.hidden + self.classes))  # h beside the label
        self.register_buffer("initial_images", torch.zeros(n, self.pixels))  # from which the chains start
        self.register_buffer("step", torch.tensor(0))

    def fit(self, data: TrainingData, trainer: Trainer) -> None:
        """Trains for all steps. There is no early stopping on val: it would need log p(x), and so log Z."""
        self.build(data.spec)
        # Half an image more of each color, so that no pixel has probability 0 or 1.
        self.mean = (binarize(data.x).sum(0) + 0.5) / (len(data.x) + 1)
        self.log_prior = log_class_prior(data.y, self.classes)
        self._initialize_from_class_means(data)
        trainer.minimize(self, data, self._loss, self.optimization)
        self.label_bias = -self.log_z_by_class()

    def log_joint_unnormalized(self, x: Tensor) -> Tensor:
        """A lower bound of log p(x, y) + log Z in nats, (N, K)."""
        x = binarize(x)
        label_inputs = [self._from_label(k) for k in range(self.classes)]
        bounds = [self._bound(x, self._from_pixels(x), inputs, SCORING_ROUNDS) for inputs in label_inputs]
        return torch.stack(bounds, 1) + self.log_prior + self.label_bias

    def log_annealed(self, s: Tensor, beta: float) -> Tensor:
        """log p_beta(s) + log Z_beta in nats, (n,), with Z_0 = 1: s (n, H + K) are h and the label, x and g are summed out."""
        base = self.mean.logit()
        hidden = self.hidden_mean.logit()
        to_pixels, to_top = self._inputs(s)
        # At beta 0: 2^G states of g, and the normalizers of h and x; that of the label is 1 already.
        log_z_base = self.top * math.log(2) + F.softplus(base).sum() + F.softplus(hidden).sum()
        hidden_bias = hidden.lerp(self._bias() - self.weight @ self.mean, beta)
        bias = torch.cat([hidden_bias, self.log_prior + beta * self.label_bias])
        pixel_term = F.softplus(base + beta * to_pixels).sum(1)
        top_term = F.softplus(beta * to_top).sum(1)
        return s @ bias + pixel_term + top_term - (1 - beta) * log_z_base

    def gibbs_step(self, s: Tensor, beta: float) -> Tensor:
        """Samples x and g given h and the label, then these given x and g, under p_beta: (n, H + K) -> the same shape."""
        return self._step(s, beta)[0]

    def base_sample(self, n: int) -> Tensor:
        """n samples at beta 0, (n, H + K): independent units and label."""
        labels = torch.multinomial(self.log_prior.exp(), n, replacement=True)
        return self.with_labels(sample_bernoulli(self.hidden_mean.expand(n, -1)), labels)

    def state_of(self, x: Tensor) -> Tensor:
        """h and a label, (N, H + K): the label sampled from predict_proba, h from its mean field."""
        labels = torch.multinomial(self.predict_proba(x), 1)[:, 0]
        h, _ = self._mean_field(self._from_pixels(x), self._from_label(labels), SCORING_ROUNDS)
        return self.with_labels(sample_bernoulli(h), labels)

    def sample(self, n: int, labels: Tensor | None = None) -> Tensor:
        """n binary images (n, C, H, W), from the training's chains of the label, continued for GIBBS_STEPS.

        The labels are sampled from the class prior where none are given.
        """
        if labels is None:
            labels = torch.multinomial(self.log_prior.exp(), n, replacement=True)
        same_label = (labels[:, None] == self.chain_labels).float()  # (n, chains)
        s = self.chains[torch.multinomial(same_label, 1)[:, 0]]
        for _ in range(GIBBS_STEPS):
            s, x = self._step(self.with_labels(s, labels), 1.0)
        return x.view(n, *self.shape)  # (n, D) -> (n, C, H, W)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Each pixel's probability given the mean field of h."""
        h = self.encode(x)[:, : self.hidden]
        return (self.mean.logit() + self.pixel_bias + h @ self.weight).sigmoid().view(x.shape)  # (N, D) -> (N, C, H, W)

    def inpaint(self, x: Tensor, mask: Tensor) -> Tensor:
        """The mean of the unknown pixels (mask 0) over a chain in which the known ones, thresholded, are fixed."""
        known = mask.bool().expand_as(x)
        values = binarize(x.where(known, 0.0))
        fixed = known.flatten(1)
        s = self.base_sample(len(x))
        total = 0.0
        for i in range(GIBBS_STEPS):
            s, pixels = self._step(s, min(1.0, 2 * i / GIBBS_STEPS), values, fixed)
            total = total + pixels * (i >= GIBBS_STEPS // 2)
        return x.where(known, (cast(Tensor, total) / (GIBBS_STEPS - GIBBS_STEPS // 2)).view(x.shape))  # (N, D) -> (N, C, H, W)

    def encode(self, x: Tensor) -> Tensor:
        """The mean field of both hidden layers, averaged over the classes by p(y | x), (N, H + G)."""
        posterior = self.predict_proba(x).T  # (K, N)
        from_pixels = self._from_pixels(x)
        fields = (self._mean_field(from_pixels, self._from_label(k), SCORING_ROUNDS) for k in range(self.classes))
        weighted = (weight[:, None] * torch.cat(field, 1) for weight, field in zip(posterior, fields, strict=True))
        return cast(Tensor, sum(weighted))

    def picture(self, x: Tensor, y: Tensor) -> Visualization:
        """The weights of the hidden units with the largest norms; those of the second layer through the first layer's."""
        layers = self.weight.detach(), (self.top_weight @ self.weight).detach()  # (H, D), (G, D)
        strongest = [layer[layer.norm(dim=1).argsort(descending=True)[:FILTERS]] for layer in layers]
        images = torch.cat(strongest).view(-1, *self.shape)  # (n, D) -> (n, C, H, W)
        caption = "Pixels that turn the strongest units on (red) and off (blue): the first layer's, then the second's through it."
        return Visualization(images, columns=min(10, len(images)), caption=caption, signed=True)

    @torch.no_grad()
    def _initialize_from_class_means(self, data):
        """Weights such that a label moves the pixels towards the mean of its class, and an image of its label for each chain."""
        label = F.one_hot(data.y, self.classes).float()
        white = (label.T @ binarize(data.x) + self.mean) / (label.sum(0) + 1)[:, None]  # (K, D)
        patterns = torch.randn(self.hidden, self.classes)  # of h, one per class, linked to both the label and the mean image
        self.weight += 2 / self.hidden * patterns @ (white.logit() - self.mean.logit())
        self.top_weight += 2 / self.top * self.label_weight @ patterns.T
        self.initial_images = binarize(data.x)[torch.multinomial(label.T[self.chain_labels], 1)[:, 0]]

    def _loss(self, x, y):
        """Log mass of the chains minus that of the batch: of a single layer, or of the whole machine and its bound."""
        layer_steps = round(self.pretraining * self.optimization.steps)
        stage = min(2, int(self.step) // layer_steps) if layer_steps else 2
        if int(self.step) in (0, layer_steps, 2 * layer_steps):
            # A new stage has a new model: its chains start from images of their labels, not from the last model's states.
            bias = (self._bias() if stage == 2 else self.upward_bias).detach()
            h = sample_bernoulli((bias + 2 * self._from_pixels(self.initial_images).detach()).sigmoid())
            self.chains = self.with_labels(h, self.chain_labels)
        self.step += 1
        log_masses = (self._first_layer, self._second_layer, self._joint)[stage]
        data_log_mass, chain_log_mass = log_masses(binarize(x), y)
        return self.class_weights(self.chain_labels, y) @ chain_log_mass - data_log_mass.mean()

    def _first_layer(self, x, y):
        """Log masses of the batch and of the chains in the machine of h and two copies of x; only the chains' h is kept."""
        inputs = self.upward_bias + 2 * self._from_pixels(x)
        base = self.mean.logit() + self.pixel_bias
        with torch.no_grad():
            pixels = (base + self.chains[:, : self.hidden] @ self.weight).sigmoid()
            both_copies = sample_bernoulli(pixels) + sample_bernoulli(pixels) - 2 * self.mean
            h = sample_bernoulli((self.upward_bias + both_copies @ self.weight.T).sigmoid())
            self.chains = self.with_labels(h, self.chain_labels)
            self.hidden_mean.lerp_(inputs.sigmoid().mean(0).clamp(0.01, 0.99), 0.1)
        h = self.chains[:, : self.hidden]
        chain_log_mass = h @ (self.upward_bias - 2 * self.weight @ self.mean) + 2 * F.softplus(base + h @ self.weight).sum(1)
        return 2 * x @ base + F.softplus(inputs).sum(1), chain_log_mass

    def _second_layer(self, x, y):
        """The same in the machine of h, y and two copies of g."""
        bias = self.hidden_mean.logit() + self.downward_bias
        with torch.no_grad():
            top = self._to_top(self.chains[:, : self.hidden], self._from_label(self.chain_labels)).sigmoid()
            both_copies = sample_bernoulli(top) + sample_bernoulli(top)
            chain_h = sample_bernoulli((bias + both_copies @ self.top_weight).sigmoid())
            self.chains = self.with_labels(chain_h, self.chain_labels)
            data_h = sample_bernoulli((self.upward_bias + 2 * self._from_pixels(x)).sigmoid())
            h = torch.cat([data_h, chain_h])
        inputs = self._to_top(h, self._from_label(torch.cat([y, self.chain_labels])))
        return (h @ bias + 2 * F.softplus(inputs).sum(1)).split([len(x), len(self.chain_labels)])

    def _joint(self, x, y):
        """The bound of the batch, and the log masses of the chains."""
        with torch.no_grad():
            self.chains = self.with_labels(self.gibbs_step(self.chains, 1.0), self.chain_labels)
        bound = self._bound(x, self._from_pixels(x), self._from_label(y), TRAINING_ROUNDS)
        return bound, self.log_annealed(self.chains, 1.0)

    def _mean_field(self, from_pixels, from_label, rounds):
        """q(h) and q(g), (N, H) and (N, G), initialized by a pass upwards that counts the first layer's input twice."""
        h = (self._bias() + 2 * from_pixels).sigmoid()
        for _ in range(rounds):
            g = self._to_top(h, from_label).sigmoid()
            h = (self._bias() + from_pixels + g @ self.top_weight).sigmoid()
        return h, g

    def _bound(self, x, from_pixels, from_label, rounds):
        """A lower bound of log p(x, y) + log Z without d_y, (N,): by q(g), and by the optimal q(h) given q(g)."""
        with torch.no_grad():
            _, g = self._mean_field(from_pixels, from_label, rounds)
            entropy = F.binary_cross_entropy(g, g, reduction="none").sum(1)
        hidden_term = F.softplus(self._bias() + from_pixels + g @ self.top_weight).sum(1)
        top_term = (g * self._to_top(torch.zeros_like(self.hidden_mean), from_label)).sum(1)
        return x @ (self.mean.logit() + self.pixel_bias) + hidden_term + top_term + entropy

    def _step(self, s, beta, values=None, fixed=None):
        """The next state (n, H + K), and the pixels (n, D) sampled on the way; those `fixed` stay at their `values`."""
        to_pixels, to_top = self._inputs(s)
        x = sample_bernoulli((self.mean.logit() + beta * to_pixels).sigmoid())
        g = sample_bernoulli((beta * to_top).sigmoid())
        x = x if values is None else values.where(fixed, x)
        h = self.hidden_mean.logit().lerp(self._bias() + self._from_pixels(x) + g @ self.top_weight, beta).sigmoid()
        label = self.log_prior + beta * (self.label_bias + (g @ self.label_weight))
        return self.with_labels(sample_bernoulli(h), torch.multinomial(label.softmax(1), 1)[:, 0]), x

    def _inputs(self, s):
        """Inputs of x and g from the state at beta 1, without the base distribution's: (n, D) and (n, G)."""
        h, label = s.split([self.hidden, self.classes], 1)
        return self.pixel_bias + h @ self.weight, self._to_top(h, (label - self.log_prior.exp()) @ self.label_weight.T)

    def _bias(self):
        return (self.upward_bias + self.downward_bias + self.hidden_mean.logit()) / 2

    def _from_pixels(self, x):
        return (binarize(x) - self.mean) @ self.weight.T  # (N, H)

    def _from_label(self, labels):
        return self.label_weight.T[labels] - self.label_weight @ self.log_prior.exp()  # (.., G)

    def _to_top(self, h, from_label):
        return F.linear(h - self.hidden_mean, self.top_weight, self.top_bias) + from_label  # (n, G)
