"""VQ-VAE: a vector-quantized variational autoencoder (VAE) with discrete latents, and an autoregressive prior over them.

    z = encoder(x),   c_t = argmin_m |z_t - e_m|,   minimize  -log p(x | e_c) + beta |z - sg(e_c)|^2        (eq. 1 and 3)
    p(x, y) = sum_c p(y) prod_t p(c_t | c_1 .. c_t-1, y) p(x | e_c) >= the one term of c = c(x)                       (classifies)
    log p(x) >= E log 1/k sum_i p(y_i) p(c_i | y_i) p(x | e_c_i) / (q(y_i | x) q(c_i | x))                              (IWAE-k)
    q(c | x) = prod_t softmax_m(-|z_t - e_m|^2 / s),      s = mean_t |z_t - e_c_t|^2

An image is encoded as a small grid of indices c_t into a learned codebook. The gradient of the decoder's input is copied to the
encoder (straight-through estimator). A codebook vector e_m is an exponential moving average (EMA) of the z that are assigned to
it; one that is hardly used is restarted at a z of the batch. A causal transformer, trained afterwards, gives the probability of
the latents.

The sum over all latents cannot be computed. Classification takes the term of the latents that the encoder chooses, which are the
same for all classes. That term is a loose bound: many other latents decode to almost the same image. So the bound of p(x) takes
k importance samples around the chosen ones, as the importance weighted autoencoder (IWAE) does. On a known distribution of images
of 3 x 3 binary pixels, summed over all 512 images, the single term holds .06 (200 steps) to .25 (500 steps) of the mass, and
IWAE-16 .5 to .6. On val of digits IWAE-16 is 10.4 nats tighter, and 128 importance samples would give 2 nats more.

References:
    A. van den Oord, O. Vinyals, K. Kavukcuoglu, "Neural discrete representation learning", NIPS 2017; EMA in appendix A.1.
    https://arxiv.org/abs/1711.00937
    Random restarts: P. Dhariwal et al., "Jukebox: a generative model for music", 2020, section 3.1.
    https://arxiv.org/abs/2005.00341
    The distribution of a pixel: T. Salimans et al., "PixelCNN++", ICLR 2017. https://arxiv.org/abs/1701.05517
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pofxy.base.bayes import BayesRuleBoundMixin, log_class_prior
from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.hyperparameters import Optimization
from pofxy.base.prediction import predict_batched
from pofxy.base.tags import Tags
from pofxy.base.visualization import Visualization
from pofxy.nets.causal_transformer import CausalTransformer, grid_rotations
from pofxy.nets.codebook import Codebook
from pofxy.nets.discretized_logistic_mixture import DiscretizedLogisticMixture
from pofxy.nets.patch_codec import PatchDecoder, PatchEncoder, grid_of
from pofxy.training.trainer import Objective, Trainer

# Weight of the histogram of latents of a class, against that of all images.
CLASS_WEIGHT = 0.1
# k, importance samples of the bound of p(x), and the share of their labels that are uniform over the classes, so that no
# importance weight is huge.
N_IMPORTANCE_SAMPLES = 16
UNIFORM_SHARE = 0.02
# Latents decoded at once: more do not fit into the processor's cache.
ROWS = 1024
# Codebook vectors in the picture.
PICTURED = 40


class VQVAE(BayesRuleBoundMixin, nn.Module):
    """Class-conditional by its prior over the latents; encoder and decoder are unconditional.

    Args:
        words: M, the number of codebook vectors.
        features: E, the dimension of a codebook vector.
        width: features of encoder and decoder on the grid of latents.
        components: logistic distributions in the mixture of a pixel.
        commitment: beta, the weight of the term that keeps the encoder's output near the codebook vectors.
        prior_width: features of a token of the prior.
        prior_depth: blocks of the prior.
        dropout: share of the features that are dropped in the prior.
        prior_steps: batches for training the prior, as a share of `steps`.
        jitter: noise on z while the prior is trained, against overfitting, in units of the root mean square of z - e_c.
        temperature: of the prior when it is sampled from; below 1 the probable latents become more probable.
        optimization: steps of encoder, decoder and codebook; batch and learning rate (cosine schedule) of both trainings; weight
            decay of the prior.
    """

    tags = Tags(conditional=True, bound="IWAE-16", images_only=True, trained_in_steps=True, passes=16)
    log_prior: Tensor

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
        prior_steps: float = 0.8,
        jitter: float = 1.0,
        temperature: float = 0.8,
        optimization: Optimization = Optimization(steps=500, batch=64, learning_rate=8e-3, weight_decay=0.8),
    ):
        super().__init__()
        self.words = words
        self.features = features
        self.width = width
        self.components = components
        self.commitment = commitment
        self.prior_width = prior_width
        self.prior_depth = prior_depth
        self.dropout = dropout
        self.prior_steps = prior_steps
        self.jitter = jitter
        self.temperature = temperature
        self.optimization = optimization

    def build(self, spec: DataSpec) -> None:
        """Nets for images of L levels. Raises ValueError for a table."""
        if spec.levels is None:
            raise ValueError(f"{spec.name}: the VQ-VAE models gray levels, and a table has none")
        self.shape = spec.shape
        _, *grid = grid_of(spec.shape)
        self.pixel_distribution = DiscretizedLogisticMixture(spec.levels, self.components)
        self.encoder = PatchEncoder(spec.shape, self.width, self.features)
        self.decoder = PatchDecoder(spec.shape, self.width, self.features, self.pixel_distribution.size)
        self.codebook = Codebook(self.words, self.features)
        self.prior = Prior(spec.classes, self.words, grid, self.prior_width, self.prior_depth, self.dropout)
        self.register_buffer("log_prior", torch.zeros(spec.classes))

    def fit(self, data: TrainingData, trainer: Trainer) -> None:
        """Trains encoder, decoder and codebook, then the prior over their latents; keeps the best of each on val."""
        self.build(data.spec)
        self.log_prior = log_class_prior(data.y, data.spec.classes)
        steps = self.optimization.steps
        autoencoder_parameters = [*self.encoder.parameters(), *self.decoder.parameters()]
        self._train_part(data, trainer, "autoencoder", self._autoencoder_loss, autoencoder_parameters, steps, 0.0)
        self.prior.count(predict_batched(self, "_quantize", data.x), data.y)
        parameters = self.prior.parameters()
        prior_steps = max(1, round(self.prior_steps * steps))
        self._train_part(data, trainer, "prior", self._prior_loss, parameters, prior_steps, self.optimization.weight_decay)

    def sample(self, n: int, labels: Tensor | None = None) -> Tensor:
        """n images: latents from the prior, then pixels from their distribution; labels are sampled where none are given."""
        labels = self.drawn_labels(n) if labels is None else labels
        latents = self.prior.sample(labels, self.temperature)
        return self.pixel_distribution.sample(self._decode(latents)).view(n, *self.shape)  # (n, D) -> (n, C, H, W)

    def reconstruct(self, x: Tensor) -> Tensor:
        """The decoder's mean image for the latents of x."""
        return self.pixel_distribution.mean(self._decode(self._quantize(x))).view(x.shape)

    def encode(self, x: Tensor) -> Tensor:
        """The codebook vectors of the latents, concatenated, (N, T E)."""
        return self.codebook.words[self._quantize(x)].flatten(1)  # (N, T, E) -> (N, T E)

    def log_joint_bound(self, x: Tensor) -> Tensor:
        """log p(y) + log p(c | y) + log p(x | c) in nats, (N, K): p(x, y) is the sum of such terms over all c.

        Of this sum it is one term, far below the whole; its softmax is `predict_proba`. `log_prob_bound` is tighter.
        """
        latents = self._quantize(x)
        labels = torch.arange(len(self.log_prior), device=x.device)
        log_latents = torch.stack([self.prior.log_prob(latents, k.expand(len(x))) for k in labels], 1)  # (N, K)
        return self.log_prior + log_latents + self.pixel_distribution.log_mass(x, self._decode(latents))[:, None]

    def log_prob_bound(self, x: Tensor) -> Tensor:
        """The IWAE-16 bound of log p(x) in nats, (N,), over latents near those of x and labels from `predict_proba`."""
        k = N_IMPORTANCE_SAMPLES
        return torch.cat([self._log_weights(part).logsumexp(0) - math.log(k) for part in x.split(ROWS // k)])

    def picture(self, x: Tensor, y: Tensor) -> Visualization:
        """The codebook vectors that are used most."""
        latents = self._quantize(x)
        counts = torch.bincount(latents.flatten(), minlength=self.words)
        most_used = counts.argsort(descending=True, stable=True)[:PICTURED]
        decoded = self._decode(most_used[:, None].expand(-1, latents.shape[1]))
        images = self.pixel_distribution.mean(decoded).view(-1, *self.shape).detach()
        used = f"{len(x)} test images use {int((counts > 0).sum())} of {self.words} vectors."
        caption = f"Vectors of the codebook, the most used first, each decoded at every place of the grid. {used}"
        return Visualization(images, columns=10, caption=caption)

    def _log_weights(self, x):
        """log p(y, c, x) - log q(y, c | x) in nats of k importance samples, (k, N): the mean of its exponential is p(x)."""
        k = N_IMPORTANCE_SAMPLES
        classes = len(self.log_prior)
        label_proposal = (1 - UNIFORM_SHARE) * self.predict_proba(x) + UNIFORM_SHARE / classes  # (N, K)
        distance = torch.cdist(self.encoder(x), self.codebook.words.expand(len(x), -1, -1)).square()  # (N, T, M)
        scale = distance.amin(2).mean(1).clamp(min=1e-6)
        log_proposal = (-distance / scale[:, None, None]).log_softmax(2)
        labels = torch.multinomial(label_proposal, k, replacement=True).T.flatten()  # (N, k) -> (k N,)
        latents = torch.multinomial(log_proposal.exp().flatten(0, 1), k, replacement=True)  # (N T, k)
        latents = latents.view(len(x), -1, k).permute(2, 0, 1)  # (N, T, k) -> (k, N, T)
        log_q = log_proposal.expand(k, -1, -1, -1).gather(3, latents[..., None]).sum((2, 3)).flatten()  # (k N,)
        log_q = log_q + label_proposal.log().repeat(k, 1).gather(1, labels[:, None])[:, 0]
        latents = latents.flatten(0, 1)  # (k N, T)
        log_mass = self.pixel_distribution.log_mass(x.repeat(k, 1, 1, 1), self._decode(latents))
        log_p = self.log_prior[labels] + self.prior.log_prob(latents, labels) + log_mass
        return (log_p - log_q).view(k, -1)

    def _train_part(self, data, trainer, name, loss, parameters, steps, weight_decay):
        objective = Objective(loss, parameters, self.optimization.learning_rate, weight_decay=weight_decay, name=name)
        trainer.run(self, data, [objective], steps=steps, batch=self.optimization.batch, validate=loss, bfloat16=True)

    def _autoencoder_loss(self, x, y):
        z = self.encoder(x)  # (N, T, E)
        latents = self.codebook.nearest(z)
        if self.training:
            self.codebook.update(z.detach(), latents)
        quantized = self.codebook.words[latents]  # (N, T, E)
        decoded = self.decoder(straight_through(z, quantized))
        distortion = -self.pixel_distribution.log_mass(x, decoded).mean()
        commitment = (z - quantized).square().sum((1, 2)).mean()
        share = torch.bincount(latents.flatten(), minlength=self.words) / latents.numel()
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
            latents = self.codebook.nearest(z)
            if self.training:
                distance = (z - self.codebook.words[latents]).square().mean().sqrt()
                latents = self.codebook.nearest(z + self.jitter * distance * torch.randn_like(z))
        return -self.prior.log_prob(latents, y).mean()

    def _quantize(self, x):
        """The latents of images x (N, C, H, W), (N, T) in 0..M-1."""
        return self.codebook.nearest(self.encoder(x))

    def _decode(self, latents):
        """The parameters of the distributions of the pixels, for latents (N, T)."""
        return self.decoder(self.codebook.words[latents])


def straight_through(z: Tensor, quantized: Tensor) -> Tensor:
    """The quantized vectors; their gradient is copied to z. Same shape as z."""
    return z + (quantized - z).detach()


class Prior(nn.Module):
    """p(c | y) = prod_t p(c_t | c_1 .. c_t-1, y), by a causal transformer.

    Args:
        classes: K.
        words: M, the number of values of a latent.
        grid: height and width of the grid of latents; T is their product.
        width: F, features of a token.
        depth: blocks.
        dropout: share of the features that are dropped.
    """

    rotary_embedding: Tensor
    histogram: Tensor

    def __init__(self, classes: int, words: int, grid: Sequence[int], width: int, depth: int, dropout: float):
        super().__init__()
        height, grid_width = grid
        heads = max(1, width // 32)
        self.length = height * grid_width  # T
        self.token = nn.Embedding(words, width)
        self.start = nn.Parameter(torch.zeros(width))
        self.position = nn.Parameter(0.02 * torch.randn(classes, self.length, width))
        self.transformer = CausalTransformer(width, heads, depth, dropout)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, words))
        self.register_buffer("rotary_embedding", grid_rotations(height, grid_width, width // heads), persistent=False)
        # (K, T, M): log frequency of each latent at each place, per class. The transformer learns only the deviation from it.
        self.register_buffer("histogram", torch.zeros(classes, self.length, words))

    def count(self, latents: Tensor, y: Tensor) -> None:
        """Sets the histograms from latents (N, T) with labels (N,)."""
        one_hot = F.one_hot(latents, self.histogram.shape[2]).float()  # (N, T, M)
        of_all = (one_hot.sum(0) + 1 / one_hot.shape[2]) / (len(latents) + 1)  # (T, M)
        counts = torch.stack([one_hot[y == k].sum(0) for k in range(len(self.histogram))])  # (K, T, M)
        shares = CLASS_WEIGHT * counts / counts.sum(2, keepdim=True) + (1 - CLASS_WEIGHT) * of_all
        self.histogram.copy_(shares.log())

    def logits(self, latents: Tensor, y: Tensor) -> Tensor:
        """Logits of every latent given the ones before it, (N, T) -> (N, T, M)."""
        start = self.start.expand(len(latents), 1, -1)
        h = torch.cat([start, self.token(latents[:, :-1])], 1) + self.position[y]  # (N, T, F)
        return self.head(self.transformer(h, self.rotary_embedding)).float() + self.histogram[y]

    def log_prob(self, latents: Tensor, y: Tensor) -> Tensor:
        """log p(c | y) in nats, (N,)."""
        return -F.cross_entropy(self.logits(latents, y).transpose(1, 2), latents, reduction="none").sum(1)

    def sample(self, y: Tensor, temperature: float = 1.0) -> Tensor:
        """Latents for labels (N,), sampled one after the other, (N, T)."""
        caches = self.transformer.caches(len(y), self.length, y.device)
        position = self.position[y]  # (N, T, F)
        previous = self.start
        latents = []
        for t in range(self.length):
            h = self.transformer.next(previous + position[:, t], caches, t, self.rotary_embedding)
            probabilities = (self.head(h).float() + self.histogram[y, t]).div(temperature).softmax(1)  # (N, M)
            latents.append(torch.multinomial(probabilities, 1)[:, 0])
            previous = self.token(latents[-1])
        return torch.stack(latents, 1)  # T of (N,) -> (N, T)
