"""Deep Boltzmann machine: pixels, two layers of hidden units above them, and a label that meets the upper one.

    p(x, y) = 1/Z sum_h,g exp(b.x + c.h + e.g + d_y + h.W x + g.V h + g.U_y)

No sum over h and g in closed form: mean field bounds it from below, with independent units of probabilities q(h), q(g) that take
turns, each the best one given the other. The gradient of the bound at the data, less that of the unnormalised mass at persistent
chains of the model, trains all layers together. Before, each layer is trained as a restricted Boltzmann machine of its own, whose
other side is there twice, to stand for the layer that is still missing: the first one with two copies of x, the second one, over
h and y, with two copies of g. As in `restricted_boltzmann`, pixels are thresholded at 0.5, chains hold their labels, d follows at the
end from annealing, units are measured from their means, and independent ones with these means are the cold end of the path:

    p_beta(x, h, y, g) ~ p_0(x) p_0(h) p_0(y) exp(beta (what the machine adds)),        x and g are summed out

Reference: R. Salakhutdinov, G. Hinton, "Deep Boltzmann machines", AISTATS 2009; annealing in h: R. Salakhutdinov, H. Larochelle,
AISTATS 2010; the means: G. Montavon, K.-R. Mueller, "Deep Boltzmann machines and the centering trick", 2012.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from pofxy.protocol import FromProbabilities, Picture, log_prior
from pofxy.training import Player

# Rounds of mean field: in training they go on where the bottom-up pass begins; bounds are taken after more of them.
ROUNDS_TRAINING, ROUNDS_BOUND = 5, 20
# Of the walks from the base law to the model that find Z_y, for each class.
WALKS = 20
TEMPERATURES = 300
# Gibbs steps of a sample or a completion, warming up from the base law in the first half.
ROUNDS = 600
FILTERS = 20


class DeepBoltzmann(FromProbabilities, nn.Module):
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

    binarised = "threshold"
    bound = "mean-field bound"
    conditional = True
    images_only = True  # it cannot be fitted to a table

    def __init__(
        self,
        hidden: int = 150,
        top: int = 150,
        chains: int = 100,
        pretraining: float = 0.2,
        steps: int = 5000,
        batch: int = 100,
        learning_rate: float = 0.02,
        weight_decay: float = 0.04,
    ):
        super().__init__()
        self.hidden, self.top, self.persistent, self.pretraining = hidden, top, chains, pretraining
        self.steps, self.batch, self.learning_rate, self.weight_decay = steps, batch, learning_rate, weight_decay

    def build(self, spec):
        """Weights of D pixels, H and G hidden units and K class units; base law; chains. Raises ValueError for a table."""
        if spec.levels is None:
            raise ValueError(f"{spec.name}: a Boltzmann machine of binary pixels takes images, and this is a table")
        self.shape, self.classes, self.pixels = spec.shape, spec.classes, math.prod(spec.shape)
        self.weight = nn.Parameter(0.01 * torch.randn(self.hidden, self.pixels))  # W
        self.top_weight = nn.Parameter(0.01 * torch.randn(self.top, self.hidden))  # V
        self.label_weight = nn.Parameter(torch.randn(self.top, self.classes))  # U
        self.pixel_bias = nn.Parameter(torch.zeros(self.pixels))  # b, less that of the base law
        # The bias of h as the top of the first layer, and as the bottom of the second one; together, c is their mean.
        self.upward_bias = nn.Parameter(torch.zeros(self.hidden))
        self.downward_bias = nn.Parameter(torch.zeros(self.hidden))
        self.top_bias = nn.Parameter(torch.zeros(self.top))  # e
        self.register_buffer("label_bias", torch.zeros(self.classes))  # d, less that of the base law
        self.register_buffer("log_prior", torch.zeros(self.classes))
        self.register_buffer("mean", torch.full((self.pixels,), 0.5))  # of x
        self.register_buffer("hidden_mean", torch.full((self.hidden,), 0.5))  # of h after the first layer is trained
        # As many of each class, whose labels they hold: h beside the label.
        labels = torch.arange(self.classes).repeat_interleave(-(-self.persistent // self.classes))
        self.register_buffer("chains", self._state(torch.zeros(len(labels), self.hidden), labels))
        self.register_buffer("starts", torch.zeros(len(labels), self.pixels))
        self.register_buffer("step", torch.tensor(0))

    def fit(self, data, trainer):
        """Trains for all its steps: what could tell on val when to stop is log p(x), which takes log Z."""
        self.build(data.spec)
        # Half an image more of each colour: no pixel is certain.
        self.mean = (_binary(data.x).sum(0) + 0.5) / (len(data.x) + 1)
        self.log_prior = log_prior(data.y, self.classes)
        labels = self.chains[:, self.hidden :]
        of_class = (labels @ F.one_hot(data.y, self.classes).float().T)  # (n, N)
        self.starts = _binary(data.x)[torch.multinomial(of_class, 1)[:, 0]]
        self._start_from_class_means(data)
        player = Player(self._loss, self.parameters(), self.learning_rate, weight_decay=self.weight_decay)
        trainer.run(self, data, [player], steps=self.steps, batch=self.batch)
        self.label_bias = -self._log_z_by_class()

    def predict_proba(self, x):
        """p(y | x) by Bayes' rule over the bounds of the classes, (N, K): Z cancels, the gaps of the bounds need not."""
        return self._log_joint_unnormalized(x).softmax(1)

    def log_unnormalized(self, x):
        """A lower bound of log p(x) + log Z in nats, (N,): a mass over binary images, summed over the classes exactly."""
        return self._log_joint_unnormalized(x).logsumexp(1)

    def log_annealed(self, s, beta):
        """log p_beta(s) + log Z_beta in nats, (n,), with Z_0 = 1: s (n, H + K) are h and the label, x and g are summed out."""
        return self._log_law(s, *self._inputs(s), beta)

    def gibbs_step(self, s, beta):
        """A draw of x and g given h and the label, then one of these given x and g, under p_beta."""
        return self._next(*self._inputs(s), beta)[0]

    def base_sample(self, n):
        """n draws at beta 0, (n, H + K): every unit and the label by itself."""
        labels = torch.multinomial(self.log_prior.exp(), n, replacement=True)
        return self._state(_drawn(self.hidden_mean.expand(n, -1)), labels)

    def state_of(self, x):
        """h and a label, (N, H + K): the label drawn by predict_proba, h by its mean field."""
        labels = torch.multinomial(self.predict_proba(x), 1)[:, 0]
        from_pixels, from_label = self._from_pixels(x), self._from_label(labels)
        return self._state(_drawn(self._mean_field(from_pixels, from_label, ROUNDS_BOUND)[0]), labels)

    def sample(self, n, labels=None):
        """n binary images at the end of chains that hold their label, drawn from the class prior where none is given."""
        if labels is None:
            labels = torch.multinomial(self.log_prior.exp(), n, replacement=True)
        free = torch.zeros(n, self.pixels, device=self.mean.device)
        return self._run(free, free.bool(), labels)[0].view(n, *self.shape)  # (n, D) -> (n, C, H, W)

    def reconstruct(self, x):
        """Each pixel's probability given the mean field of h."""
        h = self.encode(x)[:, : self.hidden]
        return (self._base() + self.pixel_bias + h @ self.weight).sigmoid().view(x.shape)  # (N, D) -> (N, C, H, W)

    def inpaint(self, x, mask):
        """The mean of the unknown pixels (mask 0) over a chain in which the known ones, thresholded, are held."""
        known = mask.bool().expand_as(x)
        mean = self._run(_binary(x.where(known, 0.0)), known.flatten(1))[1]
        return x.where(known, mean.view(x.shape))  # (N, D) -> (N, C, H, W)

    def encode(self, x):
        """The mean field of both hidden layers, over the classes by their probabilities, (N, H + G)."""
        posterior, from_pixels = self.predict_proba(x), self._from_pixels(x)
        fields = (self._mean_field(from_pixels, self._from_label(k), ROUNDS_BOUND) for k in self._labels())
        return sum(posterior[:, k, None] * torch.cat(field, 1) for k, field in enumerate(fields))

    def picture(self, x, y):
        """The weights of the hidden units that have the largest ones, those of the second layer through the first."""
        first = self.weight.detach()
        second = self.top_weight.detach() @ first  # (G, H) (H, D)
        strongest = [part[part.norm(dim=1).argsort(descending=True)[:FILTERS]] for part in (first, second)]
        images = torch.cat(strongest).view(-1, *self.shape)  # (n, D) -> (n, C, H, W)
        caption = (
            f"What turns the strongest units on (red pixels) and off (blue): first {len(strongest[0])} of the first hidden layer, "
            "then those of the second, whose weights are multiplied by the first layer's."
        )
        return Picture(images, columns=min(10, len(images)), caption=caption, signed=True)

    @torch.no_grad()
    def _start_from_class_means(self, data):
        import os
        label = F.one_hot(data.y, self.classes).float()
        white = (label.T @ _binary(data.x) + self.mean) / (label.sum(0) + 1)[:, None]  # (K, D)
        codes = torch.randn(self.hidden, self.classes)
        self.weight += float(os.environ.get("G1",".5"))*4 / self.hidden * codes @ (white.logit() - self._base())
        self.top_weight += float(os.environ.get("G2","1"))*4 / self.top * self.label_weight @ codes.T

    def _loss(self, x, y):
        """Log mass of the chains of the batch's labels less that of the batch: of one layer alone, or the bound of the machine."""
        every = max(1, round(self.pretraining * self.steps))
        stage = min(2, int(self.step) // every) if self.pretraining else 2
        if int(self.step) in ((0, every, 2 * every) if self.pretraining else (0,)):
            with torch.no_grad():
                xs = self.starts
                if stage < 2:
                    self._set_chain(_drawn((self.upward_bias + 2 * (xs - self.mean) @ self.weight.T).sigmoid()))
                else:
                    self._set_chain(_drawn(self._mean_field(self._from_pixels(xs), self._from_label(self.chains[:, self.hidden:].argmax(1)), 20)[0]))
        self.step += 1
        losses = (self._first_layer, self._second_layer, self._together)[stage]
        of_data, of_chains = losses(_binary(x), y)
        # Each class weighs in the chains as much as in the batch.
        share = F.one_hot(y, self.classes).float().mean(0)
        weight = self.chains[:, self.hidden :] @ share * self.classes / len(self.chains)
        return weight @ of_chains - of_data.mean()

    def _first_layer(self, x, y):
        """Of two copies of x and h."""
        with torch.no_grad():
            pixels = (self._base() + self.pixel_bias + self._chain() @ self.weight).sigmoid()
            both = _drawn(pixels) + _drawn(pixels) - 2 * self.mean
            self._set_chain(_drawn((self.upward_bias + both @ self.weight.T).sigmoid()))
        inputs = self.upward_bias + 2 * (x - self.mean) @ self.weight.T
        with torch.no_grad():
            self.hidden_mean.lerp_(inputs.sigmoid().mean(0).clamp(0.01, 0.99), 0.1)
        h = self._chain()
        of_data = 2 * x @ (self._base() + self.pixel_bias) + F.softplus(inputs).sum(1)
        of_pixels = F.softplus(self._base() + self.pixel_bias + h @ self.weight).sum(1)
        return of_data, h @ self.upward_bias - 2 * h @ (self.weight @ self.mean) + 2 * of_pixels

    def _second_layer(self, x, y):
        """Of h, y and two copies of g."""
        bias = self.hidden_mean.logit() + self.downward_bias
        label = self.chains[:, self.hidden :]
        with torch.no_grad():
            top = self._to_top(self._chain(), self._from_label(label.argmax(1))).sigmoid()
            self._set_chain(_drawn((bias + (_drawn(top) + _drawn(top)) @ self.top_weight).sigmoid()))
            h = _drawn((self.upward_bias + 2 * (x - self.mean) @ self.weight.T).sigmoid())
        both, labels = torch.cat([h, self._chain()]), torch.cat([y, label.argmax(1)])
        mass = both @ bias + 2 * F.softplus(self._to_top(both, self._from_label(labels))).sum(1)
        return mass.split([len(x), len(label)])

    def _together(self, x, y):
        with torch.no_grad():
            self._set_chain(self.gibbs_step(self.chains, 1.0)[:, : self.hidden])
        return self._bound(x, self._from_pixels(x), self._from_label(y), ROUNDS_TRAINING), self.log_annealed(self.chains, 1.0)

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
        return x @ (self._base() + self.pixel_bias) + of_hidden + of_top + entropy

    def _log_joint_unnormalized(self, x):
        """A lower bound of log p(x, y) + log Z, (N, K)."""
        x, from_pixels = _binary(x), self._from_pixels(x)
        bounds = [self._bound(x, from_pixels, self._from_label(k), ROUNDS_BOUND) for k in self._labels()]
        return torch.stack(bounds, 1) + self.log_prior + self.label_bias

    @torch.no_grad()
    def _log_z_by_class(self):
        """log of Z_y over its value at beta 0, (K,): annealed importance sampling with the label held."""
        labels = self._labels().repeat_interleave(WALKS)
        s, weight = self._state(self.base_sample(len(labels))[:, : self.hidden], labels), 0.0
        for step in range(TEMPERATURES):
            old, new, inputs = step / TEMPERATURES, (step + 1) / TEMPERATURES, self._inputs(s)
            weight = weight + (self._log_law(s, *inputs, new) - self._log_law(s, *inputs, old)).double()
            s = self._state(self._next(*inputs, new)[0][:, : self.hidden], labels)
        return weight.view(self.classes, WALKS).logsumexp(1).float() - math.log(WALKS)  # (K WALKS,) -> (K,)

    def _inputs(self, s):
        """What the state gives to x and g at beta 1, less the base law's part: (n, D) and (n, G)."""
        h, label = s.split([self.hidden, self.classes], 1)
        return self.pixel_bias + h @ self.weight, self._to_top(h, (label - self.log_prior.exp()) @ self.label_weight.T)

    def _log_law(self, s, to_pixels, to_top, beta):
        """log_annealed, with the inputs of x and g at hand."""
        # At beta 0: 2^G states of g, and the normalisers of h and x; that of the label is 1 already.
        base, hidden = self._base(), self.hidden_mean.logit()
        cold = self.top * math.log(2) + F.softplus(base).sum() + F.softplus(hidden).sum()
        bias = torch.cat([hidden.lerp(self._bias() - self.weight @ self.mean, beta), self.log_prior + beta * self.label_bias])
        return s @ bias + F.softplus(base + beta * to_pixels).sum(1) + F.softplus(beta * to_top).sum(1) - (1 - beta) * cold

    def _next(self, to_pixels, to_top, beta, held=None, fixed=None):
        """The next state, and the pixels on the way, of which those `fixed` are as in `held`."""
        x, g = _drawn((self._base() + beta * to_pixels).sigmoid()), _drawn((beta * to_top).sigmoid())
        x = x if held is None else held.where(fixed, x)
        from_both = self._bias() + (x - self.mean) @ self.weight.T + g @ self.top_weight
        h = _drawn(self.hidden_mean.logit().lerp(from_both, beta).sigmoid())
        label = self.log_prior + beta * (self.label_bias + g @ self.label_weight)
        return self._state(h, torch.multinomial(label.softmax(1), 1)[:, 0]), x

    def _run(self, held, fixed, labels=None):
        """Chains with the pixels `fixed` (n, D) as in `held` and the labels, if given: last pixels, mean in the second half."""
        s, total = self.base_sample(len(held)), 0.0
        for i in range(ROUNDS):
            s = s if labels is None else self._state(s[:, : self.hidden], labels)
            s, x = self._next(*self._inputs(s), min(1.0, 2 * i / ROUNDS), held, fixed)
            if i >= ROUNDS // 2:
                total = total + x
        return x, total / (ROUNDS - ROUNDS // 2)

    def _base(self):
        return self.mean.logit()

    def _bias(self):
        return (self.upward_bias + self.downward_bias + self.hidden_mean.logit()) / 2

    def _from_pixels(self, x):
        return (_binary(x) - self.mean) @ self.weight.T  # (N, H)

    def _from_label(self, labels):
        return self.label_weight.T[labels] - self.label_weight @ self.log_prior.exp()  # (..., G)

    def _to_top(self, h, from_label):
        return F.linear(h - self.hidden_mean, self.top_weight, self.top_bias) + from_label

    def _labels(self):
        return torch.arange(self.classes, device=self.mean.device)

    def _state(self, h, labels):
        return torch.cat([h, F.one_hot(labels, self.classes)], 1)  # (n, H + K)

    def _chain(self):
        return self.chains[:, : self.hidden]

    def _set_chain(self, h):
        self.chains = torch.cat([h, self.chains[:, self.hidden :]], 1)


def _drawn(probability):
    return (torch.rand_like(probability) < probability).float()


def _binary(x):
    """White from 0.5 on, (N, D)."""
    return (x.flatten(1) >= 0.5).float()
