"""Discrete codes: the codebook, its prior, and captions, against enumeration, autograd and what may not be known."""

import itertools
import re

import pytest
import torch

from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.prediction import inference
from pofxy.base.seeding import seed_everything
from pofxy.evaluation.metrics.text_agreement import text_agreement
from pofxy.evaluation.metrics.text_agreement_held_out import text_agreement_held_out
from pofxy.models.generative.dalle import DALLE, PADDING, UNKNOWN
from pofxy.models.generative.vq_vae import VQVAE, Prior, straight_through
from pofxy.nets.caption_grammar import NUMERALS
from pofxy.nets.causal_transformer import CausalTransformer, grid_rotations
from pofxy.nets.codebook import Codebook
from pofxy.nets.patch_codec import PatchDecoder, PatchEncoder, grid_of
from pofxy.training.trainer import Trainer

torch.set_num_threads(1)
DIGITS = DataSpec("made", (1, 8, 8), 10, 5, tuple("0123456789"))
CLOTHES = DataSpec("made", (1, 8, 8), 3, 5, ("T-shirt/top", "Ankle boot", "Bag"))


def disturbed(model):
    """Every parameter far from zero, so that all that can be seen is seen."""
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return model.eval()


def tiny_prior():
    """Of 81 grids of 2 x 2 codes, three words each, for two classes."""
    seed_everything(0)
    prior = disturbed(Prior(2, 3, (2, 2), 8, 2, 0.1))
    prior.count(torch.randint(3, (50, 4)), torch.arange(50) % 2)
    return prior, torch.tensor(list(itertools.product(range(3), repeat=4)))


def built(model_class, spec, **settings):
    seed_everything(0)
    model = model_class(**settings)
    model.build(spec)
    model.log_prior = torch.full((spec.classes,), 1 / spec.classes).log()
    return disturbed(model)


def test_the_prior_is_a_law_over_all_grids_of_codes():
    prior, grids = tiny_prior()
    with torch.no_grad():
        for label in range(2):
            mass = prior.log_prob(grids, torch.full((81,), label)).double().exp()
            assert float(mass.sum()) == pytest.approx(1, abs=1e-5)


def test_codes_are_drawn_as_often_as_the_prior_says():
    prior, grids = tiny_prior()
    n = 20_000
    with torch.no_grad():
        mass = prior.log_prob(grids, torch.ones(81, dtype=torch.long)).double().exp()
        seed_everything(0)
        drawn = prior.sample(torch.ones(n, dtype=torch.long)) @ torch.tensor([27, 9, 3, 1])
    counts = torch.bincount(drawn, minlength=81)
    likely = mass * n > 5
    expected, observed = (torch.cat([part[likely], part[~likely].sum()[None]]) for part in (mass * n, counts))
    statistic, freedom = float(((observed - expected) ** 2 / expected.clamp(min=1e-9)).sum()), len(expected) - 1
    assert abs(statistic - freedom) < 4 * (2 * freedom) ** 0.5, "chi-squared"


def test_token_by_token_a_transformer_gives_what_it_gives_of_all_at_once():
    seed_everything(0)
    transformer, turns = disturbed(CausalTransformer(16, 2, 2, 0.1)), grid_rotations(2, 3, 8)
    h = torch.randn(5, 6, 16)
    with torch.no_grad():
        caches = transformer.caches(5, 6, h.device)
        one_by_one = torch.stack([transformer.next(h[:, t], caches, t, turns) for t in range(6)], 1)
        torch.testing.assert_close(one_by_one, transformer(h, turns), atol=1e-5, rtol=1e-4)


def test_no_code_is_told_of_itself_or_of_what_comes_later():
    """By the gradient of each place's logits by each place's word."""
    prior, _ = tiny_prior()
    codes, y = torch.tensor([[0, 1, 2, 0]]), torch.tensor([1])
    for t in range(4):
        told = prior.word(codes).detach().requires_grad_()
        h = torch.cat([prior.first.expand(1, 1, -1), told[:, :-1]], 1) + prior.place[y]
        (slope,) = torch.autograd.grad(prior.head(prior.transformer(h, prior.turns))[0, t].square().sum(), told)
        seen = slope[0].abs().sum(1) > 0
        assert torch.equal(seen, torch.arange(4) < t)


def test_the_gradient_goes_straight_through_to_the_encoder():
    """Chosen words get the decoder's gradient, and z gets it as it is."""
    z, words = torch.randn(3, 4, 5, requires_grad=True), torch.randn(3, 4, 5)
    into = straight_through(z, words)
    torch.testing.assert_close(into, words)
    (expected,) = torch.autograd.grad(words.requires_grad_().sin().sum(), words)
    (found,) = torch.autograd.grad(into.sin().sum(), z)
    torch.testing.assert_close(found, expected)


def test_words_move_to_the_mean_of_what_chooses_them():
    seed_everything(0)
    book = Codebook(3, 2)
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    book.words.copy_(centres + 1)
    book.count.fill_(1.0)
    book.sum.copy_(book.words)
    for _ in range(400):
        z = (centres[torch.arange(60) % 3] + torch.randn(60, 2)).view(6, 10, 2)
        book.follow(z, book.nearest(z))
    torch.testing.assert_close(book.words, centres, atol=0.15, rtol=0)
    torch.testing.assert_close(book.nearest(centres), torch.arange(3))


def test_a_dead_word_starts_anew_where_there_is_something_to_say():
    seed_everything(0)
    book = Codebook(3, 2)
    book.words.copy_(torch.tensor([[0.0, 0.0], [1.0, 1.0], [1e4, 1e4]]))  # the last one is chosen by none
    book.count.copy_(torch.tensor([1.0, 1.0, 0.11]))
    book.sum.copy_(book.words * book.count[:, None])
    for _ in range(10):
        z = torch.rand(4, 5, 2)
        book.follow(z, book.nearest(z))
    assert book.words[2].max() <= 1
    fresh = Codebook(8, 2)
    fresh.follow(z, fresh.nearest(z))
    rows = {tuple(row) for row in z.flatten(0, 1).tolist()}
    torch.testing.assert_close(fresh.words[0], z.flatten(0, 1).mean(0))  # the one that all of them chose
    assert {tuple(row) for row in fresh.words[1:].tolist()} <= rows, "at first, the others are features of the batch"


def test_the_decoders_law_sums_to_one_over_all_images():
    model = built(VQVAE, DataSpec("made", (1, 1, 3), 2, 3, ("a", "b")), words=4, width=16)
    images = torch.cartesian_prod(*[torch.arange(3) / 2] * 3).view(-1, 1, 1, 3)
    with torch.no_grad():
        codes = torch.tensor([[0, 3, 1]])
        mass = model.law.log_mass(images, model._decode(codes).expand(len(images), -1)).double().exp()
    assert float(mass.sum()) == pytest.approx(1, abs=1e-5)


def test_the_bound_is_one_term_of_the_sum_over_all_codes():
    """p(x, y) by enumeration of every grid of codes lies above it, and its other terms make up the difference."""
    model = built(VQVAE, DataSpec("made", (1, 1, 3), 2, 3, ("a", "b")), words=4, width=16)
    images = torch.cartesian_prod(*[torch.arange(3) / 2] * 3).view(-1, 1, 1, 3)
    model.codebook.words.normal_()
    grids = torch.tensor(list(itertools.product(range(4), repeat=3)))
    with torch.no_grad():
        of_image = torch.stack([model.law.log_mass(images, model._decode(c[None]).expand(len(images), -1)) for c in grids], 1)
        of_codes = torch.stack([model.prior.log_prob(grids, torch.full((64,), k)) for k in range(2)], 1)
        terms = model.log_prior + of_image[:, :, None] + of_codes  # (N, 64, K)
        bound = model.log_joint_bound(images)
        assert (bound <= terms.logsumexp(1) + 1e-5).all()
        chosen = (model._codes(images) * torch.tensor([16, 4, 1])).sum(1)
        torch.testing.assert_close(bound, terms[torch.arange(len(images)), chosen], atol=1e-4, rtol=1e-4)
        assert float(terms.double().exp().sum()) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 28, 28), (1, 33, 20), (1, 64, 64), (1, 1, 3)], ids=str)
def test_images_of_any_size_become_small_grids_and_come_back(shape):
    _, height, width = grid_of(shape)
    codes = PatchEncoder(shape, 16, 4)(torch.rand(2, *shape))
    assert codes.shape == (2, height * width, 4) and min(height, width) <= 7
    parameters = PatchDecoder(shape, 16, 4, 6)(codes)
    assert parameters.shape == (2, 6 * shape[0] * shape[1] * shape[2])


@pytest.mark.parametrize("spec", [DIGITS, CLOTHES], ids=["digits", "names"])
def test_held_out_wordings_are_none_of_those_that_are_trained_on(spec):
    model = built(DALLE, spec, words=4)
    trained = {tuple(row.tolist()) for row in model.seen.flatten(0, 1)}
    for label in range(spec.classes):
        seen, held_out = model.captions(label)
        assert len(held_out) >= 5 and not {caption.lower() for caption in seen} & {caption.lower() for caption in held_out}
        assert not {tuple(row.tolist()) for row in model.tokens(held_out)} & trained
        assert {tuple(row.tolist()) for row in model.tokens(seen)} == {tuple(row.tolist()) for row in model.seen[label]}
        drawn = model._drawn_captions(torch.full((200,), label))
        assert {tuple(row.tolist()) for row in drawn} <= trained
        words = re.findall(r"\w+", spec.class_names[label].lower())
        for caption in seen + held_out:
            found = set(re.findall(r"\w+", caption.lower()))
            assert found >= set(words) or (spec is DIGITS and found & set(NUMERALS)), caption


def test_a_caption_of_digits_names_one_digit_alone():
    model = built(DALLE, DIGITS, words=4)
    names = {name: k for k, name in enumerate(NUMERALS)} | {str(k): k for k in range(10)}
    for label in range(10):
        for caption in itertools.chain(*model.captions(label)):
            assert [names[word] for word in re.findall(r"\w+", caption.lower()) if word in names] == [label]
    assert "a handwritten three" in model.captions(3)[0] and "3, the digit" in model.captions(3)[0]


def test_words_are_read_whatever_their_case_and_punctuation():
    model = built(DALLE, DIGITS, words=4)
    one, other = model.tokens(["A handwritten THREE!", "a handwritten three"])
    assert torch.equal(one, other) and (one[3:] == PADDING).all() and (one[:3] > UNKNOWN).all()
    assert (model.tokens(["a blue three"])[0, :3] == UNKNOWN).tolist() == [False, True, False]


def test_a_prompt_of_unknown_words_is_refused_with_words_that_are_known():
    model = built(DALLE, DIGITS, words=4)
    with pytest.raises(ValueError, match=r"no word of the prompt 'purple elephants' is known; known are, among others: .*two"):
        model.sample_text(["a three", "purple elephants"])
    with pytest.raises(ValueError, match="is known"):
        model.sample_text([""])
    with pytest.raises(ValueError, match=f"has 40 words; {model.longest} are the most"):
        model.sample_text(["three " * 40])


def test_dropped_words_are_unknown_and_unknown_ones_stand_in_front():
    model = built(DALLE, DIGITS, words=4)
    captions = model.tokens(["the number 7"]).expand(500, -1)
    found = model._disturbed(captions)
    front = (found == UNKNOWN).int().cumprod(1).sum(1)
    assert set(front.tolist()) >= {0, 1, 2, 3}
    assert (((found != PADDING).sum(1) - 3) == torch.arange(4)[:, None]).any(0).all(), "words are put in front, and none is lost"
    kept = (found == captions[0, 2]).any(1).float().mean()
    assert 0.8 < float(kept) < 0.98


def test_caption_and_codes_one_by_one_give_what_all_at_once_gives():
    model = built(DALLE, DIGITS, words=4)
    both, captions = model.both, model.tokens(["a three", "draw a 4"])
    codes = torch.randint(4, (2, both.places))
    with torch.no_grad():
        law = both.logits(captions, codes)[1]
        both.histogram.normal_()
        torch.testing.assert_close(both.logits(captions, codes)[1], law + both.histogram)
        caches = both.transformer.caches(2, both.longest + both.places, codes.device)
        told, found = both.first.expand(2, -1), []
        inputs = both.token(torch.cat([captions, both.vocabulary + codes], 1))
        for position in range(both.longest + both.places):
            found.append(
                both.image_head(both.norm(both.transformer.next(told + both.place[position], caches, position, both.turns)))
            )
            told = inputs[:, position]
        torch.testing.assert_close(torch.stack(found[both.longest :], 1), law, atol=1e-4, rtol=1e-4)


class Painter:
    """Draws a bright image for a wording that it knows, else a dark one."""

    def captions(self, label):
        return [f"number {label}", f"the {label}"], [f"please {label}"]

    def sample_text(self, texts):
        bright = torch.tensor([float("please" not in text) for text in texts])
        return bright[:, None, None, None].expand(-1, 1, 8, 8)


class Reader:
    """Takes bright images for class 1, and dark ones for class 0."""

    def predict_proba(self, x):
        bright = x.mean((1, 2, 3))
        return torch.stack([1 - bright, bright], 1)


def test_prompts_are_judged_by_their_wording():
    found = worded(Painter(), torch.tensor([1, 1, 1, 0]), Reader())
    assert found.values.shape == (4, 2, 1) and found.values.dtype == torch.bool
    assert text_agreement(found.values.numpy()).tolist() == [1, 1, 1, 0]
    assert text_agreement_held_out(found.values.numpy()).tolist() == [0, 0, 0, 1]


def test_a_fitted_model_draws_what_it_is_asked_for_in_either_wording():
    """Two classes, bright above or below, and captions of both kinds."""
    y = torch.arange(80) % 2
    x = torch.rand(80, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.3
    x[y == 0, :, :4] += 0.7
    x[y == 1, :, 4:] += 0.7
    x = (x * 4).round() / 4
    spec = DataSpec("made", (1, 8, 8), 2, 5, ("Sky", "Ground"))
    seed_everything(0)
    model = DALLE(steps=60, batch=20, width=16, transformer_width=32, words=8)
    model.fit(TrainingData(spec, x[:60], y[:60], x[60:], y[60:]), Trainer())
    for kind in range(2):
        texts = [caption for label in range(2) for caption in model.captions(label)[kind]]
        labels = torch.tensor([label for label in range(2) for _ in model.captions(label)[kind]])
        with inference(model):
            drawn = model.sample_text(texts)
        below = drawn[:, :, 4:].mean((1, 2, 3)) > drawn[:, :, :4].mean((1, 2, 3))
        assert (below.long() == labels).float().mean() > 0.85
