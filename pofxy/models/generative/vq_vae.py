"""VQ-VAE: an image is written as a small grid of words from a learned codebook, and a net learns how the words follow each other.

    z = encoder(x),   c_t = argmin_m |z_t - e_m|,   minimise  -log p(x | e_c) + beta |z - sg(e_c)|^2        (eq. 1 and 3)
    log p(x) >= log sum_y p(y) prod_t p(c_t | c_1 .. c_t-1, y) p(x | e_c),      c = c(x)

The gradient of the decoder's input is handed to the encoder as it is (straight through). A word e_m moves to the mean of the z
that choose it, an average over the last steps; one that hardly any chooses starts anew at a z of the batch. Codes are numbers
without order, so that a causal transformer, trained afterwards, gives their probability. The bound keeps the one term of the sum
over all codes that the encoder chooses.

References: A. van den Oord, O. Vinyals, K. Kavukcuoglu, "Neural discrete representation learning", NIPS 2017, averages in
appendix A.1; restarts: P. Dhariwal et al., "Jukebox", arXiv:2005.00341, 2020, section 3.1; the law of a pixel: T. Salimans et
al., "PixelCNN++", ICLR 2017.
"""

import torch
from torch import nn
from torch.nn import functional as F

from pofxy.base.bayes import BayesRuleBoundMixin, log_class_prior
from pofxy.base.prediction import predict_batched
from pofxy.base.tags import Tags
from pofxy.base.visualization import Visualization
from pofxy.nets.causal_transformer import CausalTransformer, grid_rotations
from pofxy.nets.codebook import Codebook
from pofxy.nets.discretized_logistic_mixture import DiscretizedLogisticMixture
from pofxy.nets.patch_codec import PatchDecoder, PatchEncoder, grid_of
from pofxy.training.trainer import Objective

# Weight of a class's own histogram of words against that of all images.
OWN = 0.1
# Words in the picture.
SHOWN = 40


class VQVAE(BayesRuleBoundMixin, nn.Module):
    """Class-conditional by its prior over codes; encoder and decoder know no class.

    Args:
        words: M, the size of the codebook.
        features: E, of a word.
        width: features of encoder and decoder on the grid of codes.
        components: logistic laws in the mixture of a pixel.
        commitment: beta, how strongly the encoder is drawn to the words.
        prior_width: features of a token of the prior.
        prior_depth: its blocks.
        dropout: share of the features that are dropped in the prior.
        weight_decay: of the prior.
        prior_steps: batches to train the prior for, as a share of `steps`.
        jitter: noise on z while the prior is trained, in units of how far z lies from its word, against learning by heart.
        temperature: of the prior as it is sampled from; below 1 likely codes are more likely still.
        steps: batches to train encoder, decoder and codebook for.
        batch: images in one.
        learning_rate: at its height, of a cosine schedule, in both trainings.
    """

    tags = Tags(conditional=True, bound="one code", images_only=True, trained_in_steps=True)

    def __init__(
        self,
        words: int = 16,
        features: int = 16,
        width: int = 64,
        components: int = 3,
        commitment: float = 0.25,
        prior_width: int = 64,
        prior_depth: int = 2,
        dropout: float = 0.2,
        weight_decay: float = 0.8,
        prior_steps: float = 0.8,
        jitter: float = 1.0,
        temperature: float = 0.8,
        steps: int = 500,
        batch: int = 64,
        learning_rate: float = 8e-3,
    ):
        super().__init__()
        self.words, self.features, self.width, self.components = words, features, width, components
        self.commitment, self.prior_width, self.prior_depth = commitment, prior_width, prior_depth
        self.dropout, self.weight_decay, self.prior_steps = dropout, weight_decay, prior_steps
        self.jitter, self.temperature = jitter, temperature
        self.steps, self.batch, self.learning_rate = steps, batch, learning_rate

    def build(self, spec):
        """Nets for images of L levels. Raises ValueError for a table."""
        if spec.levels is None:
            raise ValueError(f"{spec.name}: the VQ-VAE models grey levels, and a table has none")
        self.shape, (_, *grid) = spec.shape, grid_of(spec.shape)
        self.law = DiscretizedLogisticMixture(spec.levels, self.components)
        self.encoder = PatchEncoder(spec.shape, self.width, self.features)
        self.decoder = PatchDecoder(spec.shape, self.width, self.features, self.law.size)
        self.codebook = Codebook(self.words, self.features)
        self.prior = Prior(spec.classes, self.words, grid, self.prior_width, self.prior_depth, self.dropout)
        self.register_buffer("log_prior", torch.zeros(spec.classes))

    def fit(self, data, trainer):
        """Trains encoder, decoder and codebook, then the prior over the codes of the train split; the best of each on val."""
        self.build(data.spec)
        self.log_prior = log_class_prior(data.y, data.spec.classes)
        codes = [*self.encoder.parameters(), *self.decoder.parameters()]
        prior_steps = max(1, round(self.prior_steps * self.steps))
        for name, loss, parameters, steps, decay in (
            ("codes", self._codes_loss, codes, self.steps, 0.0),
            ("prior", self._prior_loss, self.prior.parameters(), prior_steps, self.weight_decay),
        ):
            if name == "prior":
                self.prior.count(predict_batched(self, "_codes", data.x), data.y)
            objective = Objective(loss, parameters, self.learning_rate, weight_decay=decay, name=name)
            trainer.run(self, data, [objective], steps=steps, batch=self.batch, validate=loss, bfloat16=True)

    def sample(self, n, labels=None):
        """n images: codes from the prior, levels from the decoder's law; labels are drawn where none are given."""
        labels = self.drawn_labels(n) if labels is None else labels
        return self.law.sample(self._decode(self.prior.sample(labels, self.temperature))).view(n, *self.shape)

    def reconstruct(self, x):
        """The decoder's mean image for the codes of x."""
        return self.law.mean(self._decode(self._codes(x))).view(x.shape)

    def encode(self, x):
        """The words of the codes, one after the other, (N, T E)."""
        return self.codebook.words[self._codes(x)].flatten(1)

    def log_joint_bound(self, x):
        """log p(y) + log p(c | y) + log p(x | c) in nats, (N, K): p(x, y) is the sum over all c of such terms."""
        codes = self._codes(x)
        labels = torch.arange(len(self.log_prior), device=x.device)
        of_codes = torch.stack([self.prior.log_prob(codes, k.expand(len(x))) for k in labels], 1)  # (N, K)
        return self.log_prior + of_codes + self.law.log_mass(x, self._decode(codes))[:, None]

    def picture(self, x, y):
        """The words that the images use most."""
        codes = self._codes(x)
        counts = torch.bincount(codes.flatten(), minlength=self.words)
        most = counts.argsort(descending=True, stable=True)[:SHOWN]
        images = self.law.mean(self._decode(most[:, None].expand(-1, codes.shape[1]))).view(-1, *self.shape).detach()
        used = f"{len(x)} test images use {int((counts > 0).sum())} of {self.words} words."
        caption = f"Words of the codebook, each written at every place of the grid; the most used first. {used}"
        return Visualization(images, columns=10, caption=caption)

    def _codes_loss(self, x, y):
        z = self.encoder(x)  # (N, T, E)
        codes = self.codebook.nearest(z)
        if self.training:
            self.codebook.follow(z.detach(), codes)
        words = self.codebook.words[codes]
        distortion = -self.law.log_mass(x, self.decoder(straight_through(z, words))).mean()
        commitment = (z - words).square().sum((1, 2)).mean()
        share = torch.bincount(codes.flatten(), minlength=self.words) / codes.numel()
        return {
            "loss": distortion + self.commitment * commitment,
            "distortion": distortion,
            "commitment": commitment,
            "codebook_use": (share > 0).float().mean(),
            "perplexity": torch.special.entr(share).sum().exp(),
        }

    def _prior_loss(self, x, y):
        with torch.no_grad():
            z = self.encoder(x)  # (N, T, E)
            codes = self.codebook.nearest(z)
            if self.training:
                miss = (z - self.codebook.words[codes]).square().mean().sqrt()
                codes = self.codebook.nearest(z + self.jitter * miss * torch.randn_like(z))
        return -self.prior.log_prob(codes, y).mean()

    def _codes(self, x):
        return self.codebook.nearest(self.encoder(x))  # (N, T)

    def _decode(self, codes):
        """The parameters of the pixels' laws, from codes (N, T)."""
        return self.decoder(self.codebook.words[codes])


def straight_through(z, words):
    """The words, with the gradient that they get handed on to z."""
    return z + (words - z).detach()


class Prior(nn.Module):
    """p(c | y) = prod_t p(c_t | c_1 .. c_t-1, y) by a causal transformer whose token t is told code t - 1 and predicts code t."""

    def __init__(self, classes, words, grid, width, depth, dropout):
        super().__init__()
        heads = max(1, width // 32)
        self.places = grid[0] * grid[1]  # T
        self.word = nn.Embedding(words, width)
        self.first = nn.Parameter(torch.zeros(width))
        self.place = nn.Parameter(0.02 * torch.randn(classes, self.places, width))
        self.transformer = CausalTransformer(width, heads, depth, dropout)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, words))
        self.register_buffer("turns", grid_rotations(*grid, width // heads), persistent=False)
        # (K, T, M): the logarithm of each place's share of words in each class, so that only what departs from it is learned.
        self.register_buffer("histogram", torch.zeros(classes, self.places, words))

    def count(self, codes, y):
        """Takes the histograms from codes (N, T), labels (N,)."""
        chosen = F.one_hot(codes, self.histogram.shape[2]).float()
        common = (chosen.sum(0) + 1 / chosen.shape[2]) / (len(codes) + 1)  # (T, M)
        counts = torch.stack([chosen[y == k].sum(0) for k in range(len(self.histogram))])
        shares = OWN * counts / counts.sum(2, keepdim=True) + (1 - OWN) * common
        self.histogram.copy_(shares.log())

    def logits(self, codes, y):
        """Of every code from the codes before it, (N, T) -> (N, T, M)."""
        first = self.first.expand(len(codes), 1, -1)
        h = torch.cat([first, self.word(codes[:, :-1])], 1) + self.place[y]  # (N, T, F)
        return self.head(self.transformer(h, self.turns)).float() + self.histogram[y]

    def log_prob(self, codes, y):
        """log p(c | y) in nats, (N,)."""
        return -F.cross_entropy(self.logits(codes, y).transpose(1, 2), codes, reduction="none").sum(1)

    def sample(self, y, temperature=1.0):
        """Codes for labels (N,), one after the other, (N, T)."""
        caches, codes = self.transformer.caches(len(y), self.places, y.device), []
        place, told = self.place[y], self.first
        for t in range(self.places):
            h = self.transformer.next(told + place[:, t], caches, t, self.turns)
            law = (self.head(h).float() + self.histogram[y, t]).div(temperature).softmax(1)
            codes.append(torch.multinomial(law, 1)[:, 0])
            told = self.word(codes[-1])
        return torch.stack(codes, 1)
