"""DALL-E: text-to-image generation by one transformer over the words of a caption and the discrete latents of an image.

    1. dVAE:         minimize  -log p(x | sum_m q_tm e_m) + beta KL(q(c | x) || uniform),   with the Gumbel-softmax relaxation
                     q_t = softmax((encoder(x)_t + g_t) / temperature), the temperature falling towards 0
    2. transformer:  maximize  1/8 sum_i log p(w_i | w_1 .. w_i-1) + 7/8 sum_t log p(c_t | w, c_1 .. c_t-1)       (section 2.2)
    3. CLIP:         minimize  -log softmax_k(image_features(x) . text_features(caption of class k)) at the class of x

The discrete variational autoencoder (dVAE) encodes an image as a grid of latents c_t. The transformer predicts the words w_i
and then the latents. Of several images sampled for a prompt, the one with the highest CLIP score (contrastive language-image
pre-training) is returned; here CLIP is a small net that is trained on the same data. Captions come from a grammar over the
class names, and some wordings are held out from training. A word that is not in the grammar becomes <unknown>; captions with
words dropped, or with <unknown> words in front, train its embedding.

References:
    A. Ramesh et al., "Zero-shot text-to-image generation", ICML 2021. https://arxiv.org/abs/2102.12092
    The relaxation: E. Jang, S. Gu, B. Poole, "Categorical reparameterization with Gumbel-softmax", ICLR 2017, eq. 2.
    https://arxiv.org/abs/1611.01144
    CLIP: A. Radford et al., "Learning transferable visual models from natural language supervision", ICML 2021.
    https://arxiv.org/abs/2103.00020
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pofxy.base.bayes import ClassPriorMixin, log_class_prior
from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.hyperparameters import Optimization
from pofxy.base.prediction import predict_batched
from pofxy.base.tags import Tags
from pofxy.nets.caption_grammar import captions_of, words_of
from pofxy.nets.causal_transformer import CausalTransformer, grid_rotations
from pofxy.nets.discretized_logistic_mixture import DiscretizedLogisticMixture
from pofxy.nets.patch_codec import PatchDecoder, PatchEncoder, grid_of
from pofxy.training.trainer import Objective, Trainer

# Tokens of captions that are no words of the vocabulary.
PADDING = 0
UNKNOWN = 1
# Most unknown words in front of a caption in training. A prompt may have as many words more than the longest caption.
MAX_UNKNOWN_PREFIX = 3
# Temperature at the end of the dVAE's training, and the share of the steps after which it is reached.
FINAL_TEMPERATURE = 1 / 16
ANNEALING_SHARE = 0.75
# Dimension of CLIP's features, and the weight decay of its training.
CLIP_FEATURES = 32
CLIP_WEIGHT_DECAY = 0.1


class DALLE(ClassPriorMixin, nn.Module):
    """Without labels or prompts it samples captions, with classes from the class prior.

    Args:
        words: M, the number of codebook vectors of the dVAE.
        features: E, the dimension of a codebook vector.
        width: features of the dVAE's encoder and decoder on the grid.
        components: logistic distributions in the mixture of a pixel.
        rate: beta, the weight of the KL term.
        transformer_width: features of a token.
        transformer_depth: blocks.
        dropout: share of the features that are dropped in the transformer.
        word_dropout: share of the words of a caption that become <unknown> in training.
        candidates: images sampled for each image that is returned.
        optimization: steps of the dVAE, as many of the transformer and half as many of CLIP; batch and learning rate (cosine
            schedule) of all three; weight decay of the transformer.
    """

    tags = Tags(conditional=True, images_only=True, trained_in_steps=True)
    step: Tensor
    log_prior: Tensor
    training_captions: Tensor

    def __init__(
        self,
        words: int = 16,
        features: int = 16,
        width: int = 64,
        components: int = 3,
        rate: float = 0.1,
        transformer_width: int = 64,
        transformer_depth: int = 2,
        dropout: float = 0.1,
        word_dropout: float = 0.1,
        candidates: int = 8,
        optimization: Optimization = Optimization(steps=500, batch=64, learning_rate=8e-3, weight_decay=0.3),
    ):
        super().__init__()
        self.words = words
        self.features = features
        self.width = width
        self.components = components
        self.rate = rate
        self.transformer_width = transformer_width
        self.transformer_depth = transformer_depth
        self.dropout = dropout
        self.word_dropout = word_dropout
        self.candidates = candidates
        self.optimization = optimization

    def build(self, spec: DataSpec) -> None:
        """Nets for images of L levels, and the vocabulary of the class names. Raises ValueError for a table."""
        if spec.levels is None:
            raise ValueError(f"{spec.name}: DALL-E models gray levels, and a table has none")
        self.shape = spec.shape
        self.class_names = spec.class_names
        _, *grid = grid_of(spec.shape)
        self.pixel_distribution = DiscretizedLogisticMixture(spec.levels, self.components)
        self.encoder = PatchEncoder(spec.shape, self.width, self.words)
        self.codebook = nn.Parameter(torch.randn(self.words, self.features))
        self.decoder = PatchDecoder(spec.shape, self.width, self.features, self.pixel_distribution.size)
        self.register_buffer("step", torch.tensor(0))
        self.register_buffer("log_prior", torch.zeros(spec.classes))
        training, held_out = zip(*(self.captions(k) for k in range(spec.classes)))
        self.vocabulary = sorted({word for captions in training for caption in captions for word in words_of(caption)})
        longest = max(len(words_of(caption)) for captions in (*training, *held_out) for caption in captions)
        self.text_length = MAX_UNKNOWN_PREFIX + longest  # S
        # Every class has V captions for training: (K, V, S).
        self.register_buffer("training_captions", torch.stack([self.tokens(captions) for captions in training]), persistent=False)
        vocabulary_size = UNKNOWN + 1 + len(self.vocabulary)
        self.transformer = TextImageTransformer(
            vocabulary_size,
            self.text_length,
            self.words,
            grid,
            self.transformer_width,
            self.transformer_depth,
            self.dropout,
        )
        self.clip = CLIP(spec.shape, vocabulary_size)

    def fit(self, data: TrainingData, trainer: Trainer) -> None:
        """Trains the dVAE, then the transformer over captions and latents, then CLIP; keeps the best of each on val."""
        self.build(data.spec)
        self.log_prior = log_class_prior(data.y, data.spec.classes)
        steps = self.optimization.steps
        dvae_parameters = [self.codebook, *self.encoder.parameters(), *self.decoder.parameters()]
        self._train_part(data, trainer, "dvae", self._dvae_loss, dvae_parameters, steps, 0.0)
        self.transformer.count(predict_batched(self, "_quantize", data.x))
        parameters = self.transformer.parameters()
        self._train_part(data, trainer, "transformer", self._transformer_loss, parameters, steps, self.optimization.weight_decay)
        self._train_part(data, trainer, "clip", self._clip_loss, self.clip.parameters(), -(-steps // 2), CLIP_WEIGHT_DECAY)

    def captions(self, label: int) -> tuple[list[str], list[str]]:
        """Captions of a class: those for training, and those of held-out wordings."""
        return captions_of(self.class_names, label)

    def tokens(self, texts: list[str]) -> Tensor:
        """Tokens of n texts, padded at the end, (n, S).

        Raises:
            ValueError: where no word of a text is in the vocabulary, or the text has more than S words.
        """
        numbers = {word: number for number, word in enumerate(self.vocabulary, start=UNKNOWN + 1)}
        rows = [[numbers.get(word, UNKNOWN) for word in words_of(text)] for text in texts]
        for text, row in zip(texts, rows):
            if not set(row) - {UNKNOWN}:
                examples = ", ".join(self.vocabulary[:: max(1, len(self.vocabulary) // 12)])
                raise ValueError(f"no word of the prompt '{text}' is known; known are, among others: {examples}")
            if len(row) > self.text_length:
                raise ValueError(f"the prompt '{text}' has {len(row)} words; at most {self.text_length} are allowed")
        return torch.tensor([row + [PADDING] * (self.text_length - len(row)) for row in rows])

    def sample(self, n: int, labels: Tensor | None = None) -> Tensor:
        """n images, each of a random training caption of its class; classes are sampled from the prior where none are given."""
        labels = self.drawn_labels(n) if labels is None else labels
        return self._sample(self._sample_captions(labels))

    def sample_text(self, prompts: list[str]) -> Tensor:
        """An image for each of n prompts, (n, C, H, W)."""
        return self._sample(self.tokens(prompts).to(self.training_captions.device))

    def encode(self, x: Tensor) -> Tensor:
        """The codebook vectors of the most probable latents, concatenated, (N, T E)."""
        return self.codebook[self._quantize(x)].flatten(1)  # (N, T, E) -> (N, T E)

    def reconstruct(self, x: Tensor) -> Tensor:
        """The decoder's mean image for the most probable latents of x."""
        return self.pixel_distribution.mean(self.decoder(self.codebook[self._quantize(x)])).view(x.shape)

    def _train_part(self, data, trainer, name, loss, parameters, steps, weight_decay):
        objective = Objective(loss, parameters, self.optimization.learning_rate, weight_decay=weight_decay, name=name)
        trainer.run(self, data, [objective], steps=steps, batch=self.optimization.batch, validate=loss, bfloat16=True)

    def _sample(self, captions):
        """For captions (n, S), the candidate with the highest CLIP score, (n, C, H, W)."""
        n = len(captions)
        latents = self.transformer.sample(captions.repeat(self.candidates, 1))  # (k n, T)
        candidates = self.pixel_distribution.sample(self.decoder(self.codebook[latents])).view(-1, *self.shape)
        image_features = self.clip.image_encoder(candidates).view(-1, n, CLIP_FEATURES)  # (k n, F) -> (k, n, F)
        scores = (image_features * self.clip.encode_text(captions)).sum(2)  # (k, n)
        return candidates.view(-1, n, *self.shape)[scores.argmax(0), torch.arange(n, device=candidates.device)]

    def _dvae_loss(self, x, y):
        logits = self.encoder(x)  # (N, T, M)
        if self.training:
            annealed = min(1.0, float(self.step) / (ANNEALING_SHARE * self.optimization.steps))
            self.step += 1
            vectors = F.gumbel_softmax(logits, tau=FINAL_TEMPERATURE**annealed) @ self.codebook  # (N, T, E)
        else:
            vectors = self.codebook[logits.argmax(2)]
        distortion = -self.pixel_distribution.log_mass(x, self.decoder(vectors)).mean()
        log_q = logits.log_softmax(2)
        rate = (log_q.exp() * (log_q + math.log(self.words))).sum((1, 2)).mean()  # KL(q || uniform), in nats
        share = F.one_hot(logits.argmax(2), self.words).float().mean((0, 1))
        perplexity = torch.special.entr(share).sum().exp()
        return {"loss": distortion + self.rate * rate, "distortion": distortion, "rate": rate, "perplexity": perplexity}

    def _transformer_loss(self, x, y):
        with torch.no_grad():
            latents = self._quantize(x)
        captions = self._sample_captions(y)
        text, image = self.transformer(self._drop_words(captions) if self.training else captions, latents)
        return {"loss": text / 8 + image * 7 / 8, "text": text, "image": image}

    def _clip_loss(self, x, y):
        captions = self._sample_captions(torch.arange(len(self.training_captions), device=x.device))  # (K, S)
        text_features = self.clip.encode_text(self._drop_words(captions) if self.training else captions)  # (K, F)
        scores = (self.clip.image_encoder(x) @ text_features.T).float()  # (N, K)
        return {"loss": F.cross_entropy(scores, y), "accuracy": (scores.argmax(1) == y).float().mean()}

    def _sample_captions(self, y):
        """A random training caption of each label (N,), (N, S)."""
        return self.training_captions[y, torch.randint(self.training_captions.shape[1], y.shape, device=y.device)]

    def _drop_words(self, captions):
        """Captions (N, S) with some words replaced by <unknown>, and up to MAX_UNKNOWN_PREFIX <unknown> in front, (N, S)."""
        dropped = (torch.rand(captions.shape, device=captions.device) < self.word_dropout) & (captions != PADDING)
        captions = captions.masked_fill(dropped, UNKNOWN)
        prefix = torch.randint(MAX_UNKNOWN_PREFIX + 1, (len(captions), 1), device=captions.device)
        source = torch.arange(self.text_length, device=captions.device) - prefix  # (N, S)
        return torch.where(source < 0, UNKNOWN, captions.gather(1, source.clamp(min=0)))

    def _quantize(self, x):
        """The most probable latents of images x (N, C, H, W), (N, T)."""
        return self.encoder(x).argmax(2)  # (N, T, M) -> (N, T)


class TextImageTransformer(nn.Module):
    """A causal transformer over the words of a caption and then the latents of an image.

    Args:
        vocabulary: number of tokens of captions.
        text_length: S, tokens of a caption.
        words: M, number of values of a latent.
        grid: height and width of the grid of latents; T is their product.
        width: F, features of a token.
        depth: blocks.
        dropout: share of the features that are dropped.
    """

    rotary_embedding: Tensor
    histogram: Tensor

    def __init__(
        self,
        vocabulary: int,
        text_length: int,
        words: int,
        grid: Sequence[int],
        width: int,
        depth: int,
        dropout: float,
    ):
        super().__init__()
        height, grid_width = grid
        heads = max(1, width // 32)
        self.text_length = text_length  # S
        self.image_length = height * grid_width  # T
        self.vocabulary = vocabulary
        # One embedding for all tokens: those of captions, then those of latents.
        self.token = nn.Embedding(vocabulary + words, width)
        self.start = nn.Parameter(torch.zeros(width))
        # Of the position that is predicted.
        self.position = nn.Parameter(0.02 * torch.randn(text_length + self.image_length, width))
        self.transformer = CausalTransformer(width, heads, depth, dropout)
        self.norm = nn.LayerNorm(width)
        self.text_head = nn.Linear(width, vocabulary)
        self.image_head = nn.Linear(width, words)
        # Only latents are rotated; words attend to each other without regard to their distance.
        rotary_embedding = F.pad(grid_rotations(height, grid_width, width // heads), (0,) * 6 + (text_length, 0), value=1)
        self.register_buffer("rotary_embedding", rotary_embedding, persistent=False)
        # (T, M): log frequency of each latent at each place. The transformer learns only the deviation from it.
        self.register_buffer("histogram", torch.zeros(self.image_length, words))

    def count(self, latents: Tensor) -> None:
        """Sets the histogram from latents (N, T)."""
        counts = F.one_hot(latents, self.histogram.shape[1]).sum(0) + 0.1  # (T, M)
        self.histogram.copy_((counts / counts.sum(1, keepdim=True)).log())

    def logits(self, captions: Tensor, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of each word (N, S) and each latent (N, T), given all before it: (N, S, vocabulary) and (N, T, M)."""
        inputs = self.token(torch.cat([captions, self.vocabulary + latents[:, :-1]], 1))  # (N, S + T - 1, F)
        h = torch.cat([self.start.expand(len(inputs), 1, -1), inputs], 1) + self.position  # (N, S + T, F)
        h = self.norm(self.transformer(h, self.rotary_embedding))
        text_logits = self.text_head(h[:, : self.text_length]).float()
        image_logits = self.image_head(h[:, self.text_length :]).float() + self.histogram
        return text_logits, image_logits

    def forward(self, captions: Tensor, latents: Tensor) -> list[Tensor]:
        """Cross-entropy in nats per caption and per image, two scalars."""
        pairs = zip(self.logits(captions, latents), (captions, latents))
        return [
            F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="sum") / len(latents) for logits, target in pairs
        ]

    def sample(self, captions: Tensor) -> Tensor:
        """Latents for captions (N, S), sampled one after the other, (N, T)."""
        caches = self.transformer.caches(len(captions), self.text_length + self.image_length, captions.device)
        previous = self.start.expand(len(captions), -1)
        latents = []
        for i, position in enumerate(self.position):
            h = self.transformer.next(previous + position, caches, i, self.rotary_embedding)
            if i < self.text_length:
                previous = self.token(captions[:, i])
                continue
            logits = self.image_head(self.norm(h)).float() + self.histogram[i - self.text_length]  # (N, M)
            latents.append(torch.multinomial(logits.softmax(1), 1)[:, 0])
            previous = self.token(self.vocabulary + latents[-1])
        return torch.stack(latents, 1)  # T of (N,) -> (N, T)


class CLIP(nn.Module):
    """Features of images and of captions, whose inner product is high where the two match.

    Args:
        shape: of an image, (C, H, W).
        vocabulary: number of tokens of captions.
    """

    def __init__(self, shape: tuple[int, ...], vocabulary: int):
        super().__init__()
        _, *grid = grid_of(shape)
        self.image_encoder = nn.Sequential(
            PatchEncoder(shape, 32, 16),
            nn.Flatten(),
            nn.Linear(16 * math.prod(grid), CLIP_FEATURES),
        )
        self.text_encoder = nn.Embedding(vocabulary, CLIP_FEATURES, padding_idx=PADDING)

    def encode_text(self, captions: Tensor) -> Tensor:
        """The sum of the embeddings of the words of captions (N, S), (N, CLIP_FEATURES)."""
        return self.text_encoder(captions).sum(1)
