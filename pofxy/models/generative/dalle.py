"""DALL-E: text to image by one transformer that reads a caption and goes on with the image, as a sequence of codes.

    1. codes:  minimise  -log p(x | sum_m q_tm e_m) + beta KL(q(c | x) || uniform),   q relaxed by Gumbel noise:
               q_t = softmax((encoder(x)_t + g_t) / temperature), the temperature falling towards 0
    2. both:   maximise  1/8 sum_i log p(w_i | w_1 .. w_i-1) + 7/8 sum_t log p(c_t | w, c_1 .. c_t-1)       (section 2.2)
    3. match:  a softmax over captions of every class of the product of features of image and caption: which one belongs to x

Of several images drawn for a prompt the one that matches it best is given; where the paper has CLIP, this small net stands in.
Captions come from a grammar over the class names, of which some wordings are never trained on. A word that the grammar does not
have is <unknown>, and what that means is learned from captions of which words were dropped, or put in front.

References: A. Ramesh et al., "Zero-shot text-to-image generation", ICML 2021; the relaxation: E. Jang, S. Gu, B. Poole, ICLR
2017, eq. 2; matching: A. Radford et al., "Learning transferable visual models from natural language supervision", ICML 2021.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from pofxy.base.bayes import ClassPriorMixin, log_class_prior
from pofxy.base.prediction import predict_batched
from pofxy.base.tags import Tags
from pofxy.nets.caption_grammar import captions_of, words_of
from pofxy.nets.causal_transformer import CausalTransformer, grid_rotations
from pofxy.nets.discretized_logistic_mixture import DiscretizedLogisticMixture
from pofxy.nets.patch_codec import PatchDecoder, PatchEncoder, grid_of
from pofxy.training.trainer import Objective

PADDING, UNKNOWN = 0, 1
# Unknown words in front of a caption at most: as many as a prompt may have more words than the longest caption.
SPARE = 3
COLDEST = 1 / 16


class DALLE(ClassPriorMixin, nn.Module):
    """Without labels or prompts it draws captions of classes by their share.

    Args:
        words: M, the size of the codebook of the images.
        features: E, of such a word.
        width: features of the codes' encoder and decoder on the grid.
        components: logistic laws in the mixture of a pixel.
        rate: beta, the weight of the KL term.
        transformer_width: features of a token.
        transformer_depth: blocks.
        dropout: share of the features that are dropped in the transformer.
        word_dropout: share of the words of captions that are made <unknown>.
        weight_decay: of the transformer.
        candidates: images drawn for each that is given.
        steps: batches to train for, each of the codes and the transformer; half of them for matching.
        batch: images in one.
        learning_rate: at its height, of a cosine schedule, in all trainings.
    """

    tags = Tags(conditional=True, images_only=True, trained_in_steps=True)

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
        weight_decay: float = 0.3,
        candidates: int = 8,
        steps: int = 500,
        batch: int = 64,
        learning_rate: float = 8e-3,
    ):
        super().__init__()
        self.words, self.features, self.width, self.components, self.rate = words, features, width, components, rate
        self.transformer_width, self.transformer_depth = transformer_width, transformer_depth
        self.dropout, self.word_dropout, self.weight_decay, self.candidates = dropout, word_dropout, weight_decay, candidates
        self.steps, self.batch, self.learning_rate = steps, batch, learning_rate

    def build(self, spec):
        """Nets for images of L levels, words from the class names. Raises ValueError for a table."""
        if spec.levels is None:
            raise ValueError(f"{spec.name}: DALL-E models grey levels, and a table has none")
        self.shape, (_, *grid), self.class_names = spec.shape, grid_of(spec.shape), spec.class_names
        self.law = DiscretizedLogisticMixture(spec.levels, self.components)
        self.encoder = PatchEncoder(spec.shape, self.width, self.words)
        self.codebook = nn.Parameter(torch.randn(self.words, self.features))
        self.decoder = PatchDecoder(spec.shape, self.width, self.features, self.law.size)
        self.register_buffer("step", torch.tensor(0))
        self.register_buffer("log_prior", torch.zeros(spec.classes))
        seen, held_out = zip(*(self.captions(k) for k in range(spec.classes)))
        self.vocabulary = sorted({word for captions in seen for caption in captions for word in words_of(caption)})
        self.longest = SPARE + max(len(words_of(caption)) for captions in (*seen, *held_out) for caption in captions)  # S
        # Every class has as many: (K, V, S).
        self.register_buffer("seen", torch.stack([self.tokens(captions) for captions in seen]), persistent=False)
        sizes = len(self.vocabulary) + 2, self.longest, self.words, grid
        self.both = _Both(*sizes, self.transformer_width, self.transformer_depth, self.dropout)
        self.look = nn.Sequential(PatchEncoder(spec.shape, 32, 16), nn.Flatten(), nn.Linear(16 * math.prod(grid), 32))
        self.read = nn.Embedding(sizes[0], 32, padding_idx=PADDING)

    def fit(self, data, trainer):
        """Trains the codes, then the transformer over captions and codes, then the match of images and captions."""
        self.build(data.spec)
        self.log_prior = log_class_prior(data.y, data.spec.classes)
        codes = [self.codebook, *self.encoder.parameters(), *self.decoder.parameters()]
        match = [*self.look.parameters(), *self.read.parameters()]
        for name, loss, parameters, steps, decay in (
            ("codes", self._codes_loss, codes, self.steps, 0.0),
            ("transformer", self._transformer_loss, self.both.parameters(), self.steps, self.weight_decay),
            ("match", self._match_loss, match, -(-self.steps // 2), 0.1),
        ):
            if name == "transformer":
                self.both.count(predict_batched(self, "_codes", data.x))
            objective = Objective(loss, parameters, self.learning_rate, weight_decay=decay, name=name)
            trainer.run(self, data, [objective], steps=steps, batch=self.batch, validate=loss, bfloat16=True)

    def captions(self, label):
        """Wordings of a class: those that it is trained on, and those that it never saw."""
        return captions_of(self.class_names, label)

    def tokens(self, texts):
        """Numbers of the words of each text, filled up at the end, (n, S). ValueError where no word is known, or too many are."""
        numbers = {word: number for number, word in enumerate(self.vocabulary, start=UNKNOWN + 1)}
        rows = [[numbers.get(word, UNKNOWN) for word in words_of(text)] for text in texts]
        for text, row in zip(texts, rows):
            if not set(row) - {UNKNOWN}:
                examples = ", ".join(self.vocabulary[:: max(1, len(self.vocabulary) // 12)])
                raise ValueError(f"no word of the prompt '{text}' is known; known are, among others: {examples}")
            if len(row) > self.longest:
                raise ValueError(f"the prompt '{text}' has {len(row)} words; {self.longest} are the most that can be read")
        return torch.tensor([row + [PADDING] * (self.longest - len(row)) for row in rows])

    def sample(self, n, labels=None):
        """n images, each by a random wording of its class; the classes are drawn where none are given."""
        labels = self.drawn_labels(n) if labels is None else labels
        return self._sample(self._drawn_captions(labels))

    def sample_text(self, texts):
        """An image for each of n prompts, (n, C, H, W)."""
        return self._sample(self.tokens(texts).to(self.seen.device))

    def encode(self, x):
        """The words of the most probable codes, one after the other, (N, T E)."""
        return self.codebook[self._codes(x)].flatten(1)

    def reconstruct(self, x):
        """The decoder's mean image for the most probable codes of x."""
        return self.law.mean(self.decoder(self.codebook[self._codes(x)])).view(x.shape)

    def _sample(self, captions):
        """The best matching of the candidates, for captions (n, S)."""
        n = len(captions)
        codes = self.both.sample(captions.repeat(self.candidates, 1))  # (k n, T)
        x = self.law.sample(self.decoder(self.codebook[codes])).view(-1, *self.shape)
        match = (self.look(x).view(-1, n, 32) * self.read(captions).sum(1)).sum(2)  # (k, n)
        return x.view(-1, n, *self.shape)[match.argmax(0), torch.arange(n, device=x.device)]

    def _codes_loss(self, x, y):
        logits = self.encoder(x)  # (N, T, M)
        if self.training:
            # Down to COLDEST after three quarters of the steps.
            temperature = COLDEST ** min(1.0, float(self.step) / (0.75 * self.steps))
            self.step += 1
            words = F.gumbel_softmax(logits, tau=temperature) @ self.codebook
        else:
            words = self.codebook[logits.argmax(2)]
        distortion = -self.law.log_mass(x, self.decoder(words)).mean()
        log_law = logits.log_softmax(2)
        rate = (log_law.exp() * (log_law + math.log(self.words))).sum((1, 2)).mean()  # KL(q || uniform), in nats
        perplexity = torch.special.entr(F.one_hot(logits.argmax(2), self.words).float().mean((0, 1))).sum().exp()
        return {"loss": distortion + self.rate * rate, "distortion": distortion, "rate": rate, "perplexity": perplexity}

    def _transformer_loss(self, x, y):
        with torch.no_grad():
            codes = self._codes(x)
        captions = self._drawn_captions(y)
        of_text, of_image = self.both(self._disturbed(captions) if self.training else captions, codes)
        return {"loss": of_text / 8 + of_image * 7 / 8, "text": of_text, "image": of_image}

    def _match_loss(self, x, y):
        captions = self._drawn_captions(torch.arange(len(self.seen), device=x.device))  # (K, S)
        read = self.read(self._disturbed(captions) if self.training else captions).sum(1)
        scores = (self.look(x) @ read.T).float()  # (N, K)
        return {"loss": F.cross_entropy(scores, y), "accuracy": (scores.argmax(1) == y).float().mean()}

    def _drawn_captions(self, y):
        return self.seen[y, torch.randint(self.seen.shape[1], y.shape, device=y.device)]  # (N, S)

    def _disturbed(self, captions):
        """Captions with words dropped, and unknown ones in front, (N, S)."""
        lost = (torch.rand(captions.shape, device=captions.device) < self.word_dropout) & (captions != PADDING)
        captions = captions.masked_fill(lost, UNKNOWN)
        more = torch.randint(SPARE + 1, (len(captions), 1), device=captions.device)
        place = torch.arange(self.longest, device=captions.device) - more  # (N, S)
        return torch.where(place < 0, UNKNOWN, captions.gather(1, place.clamp(min=0)))

    def _codes(self, x):
        return self.encoder(x).argmax(2)  # (N, T, M) -> (N, T)


class _Both(nn.Module):
    """The transformer: words of a caption, then codes of an image, each predicted from all that came before."""

    def __init__(self, vocabulary, longest, codes, grid, width, depth, dropout):
        super().__init__()
        heads = max(1, width // 32)
        self.longest, self.places = longest, grid[0] * grid[1]  # S, T
        # One table for all: words of captions, then those of the images.
        self.token = nn.Embedding(vocabulary + codes, width)
        self.vocabulary, self.first = vocabulary, nn.Parameter(torch.zeros(width))
        self.place = nn.Parameter(0.02 * torch.randn(longest + self.places, width))  # of what is predicted
        self.transformer = CausalTransformer(width, heads, depth, dropout)
        self.norm, self.text_head, self.image_head = nn.LayerNorm(width), nn.Linear(width, vocabulary), nn.Linear(width, codes)
        # Only codes are turned: a word means the same wherever in its caption it stands.
        turns = F.pad(grid_rotations(*grid, width // heads), (0,) * 6 + (longest, 0), value=1)
        self.register_buffer("turns", turns, persistent=False)
        # (T, M): the logarithm of each place's share of codes, so that only what departs from it is learned.
        self.register_buffer("histogram", torch.zeros(self.places, codes))

    def count(self, codes):
        """Takes the histogram from codes (N, T)."""
        counts = F.one_hot(codes, self.histogram.shape[1]).sum(0) + 0.1
        self.histogram.copy_((counts / counts.sum(1, keepdim=True)).log())

    def logits(self, captions, codes):
        """Of every word (N, S) and every code (N, T) from what comes before it: (N, S, vocabulary) and (N, T, M)."""
        told = self.token(torch.cat([captions, self.vocabulary + codes[:, :-1]], 1))
        h = torch.cat([self.first.expand(len(told), 1, -1), told], 1) + self.place  # (N, S + T, F)
        h = self.norm(self.transformer(h, self.turns))
        return self.text_head(h[:, : self.longest]).float(), self.image_head(h[:, self.longest :]).float() + self.histogram

    def forward(self, captions, codes):
        """Nats per caption and per image, two scalars."""
        pairs = zip(self.logits(captions, codes), (captions, codes))
        return [F.cross_entropy(law.flatten(0, 1), truth.flatten(), reduction="sum") / len(codes) for law, truth in pairs]

    def sample(self, captions):
        """Codes for captions (N, S), one after the other, (N, T)."""
        caches = self.transformer.caches(len(captions), self.longest + self.places, captions.device)
        told, codes = self.first.expand(len(captions), -1), []
        for position, place in enumerate(self.place):
            h = self.transformer.next(told + place, caches, position, self.turns)
            if position < self.longest:
                told = self.token(captions[:, position])
                continue
            law = (self.image_head(self.norm(h)).float() + self.histogram[position - self.longest]).softmax(1)
            codes.append(torch.multinomial(law, 1)[:, 0])
            told = self.token(self.vocabulary + codes[-1])
        return torch.stack(codes, 1)
