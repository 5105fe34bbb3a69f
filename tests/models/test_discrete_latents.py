"""Models with discrete latents: codebook, prior, captions and transformers, against enumeration and autograd."""

import itertools
import math
import re

import pytest
import torch

from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.hyperparameters import build_model
from pofxy.base.prediction import inference, predict_batched
from pofxy.base.seeding import seed_everything
from pofxy.evaluation.metrics.text_agreement import text_agreement
from pofxy.evaluation.metrics.text_agreement_held_out import text_agreement_held_out
from pofxy.evaluation.quantities.prompt_agreement import prompt_agreement
from pofxy.models.generative import vq_vae
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
THREE_PIXELS = DataSpec("made", (1, 1, 3), 2, 3, ("a", "b"))


def perturbed(model):
    """The model with every parameter far from zero, so that no dependence vanishes."""
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return model.eval()


def tiny_prior():
    """A prior over 2 x 2 latents of three values, for two classes, and all 81 grids of latents."""
    seed_everything(0)
    prior = perturbed(Prior(2, 3, (2, 2), 8, 2, 0.1))
    prior.count(torch.randint(3, (50, 4)), torch.arange(50) % 2)
    return prior, torch.tensor(list(itertools.product(range(3), repeat=4)))


def built(model_class, spec, **settings):
    seed_everything(0)
    model = model_class(**settings)
    model.build(spec)
    model.log_prior = torch.full((spec.classes,), 1 / spec.classes).log()
    return perturbed(model)


def test_the_prior_sums_to_one_over_all_grids_of_latents():
    prior, grids = tiny_prior()
    with torch.no_grad():
        for label in range(2):
            mass = prior.log_prob(grids, torch.full((81,), label)).double().exp()
            assert float(mass.sum()) == pytest.approx(1, abs=1e-5)


def test_sampled_latents_have_the_frequencies_of_the_prior():
    prior, grids = tiny_prior()
    n = 20_000
    with torch.no_grad():
        mass = prior.log_prob(grids, torch.ones(81, dtype=torch.long)).double().exp()
        seed_everything(0)
        index = prior.sample(torch.ones(n, dtype=torch.long)) @ torch.tensor([27, 9, 3, 1])
    counts = torch.bincount(index, minlength=81)
    likely = mass * n > 5
    expected, observed = (torch.cat([part[likely], part[~likely].sum()[None]]) for part in (mass * n, counts))
    statistic = float(((observed - expected) ** 2 / expected.clamp(min=1e-9)).sum())
    freedom = len(expected) - 1
    assert abs(statistic - freedom) < 4 * (2 * freedom) ** 0.5, "chi-squared"


def test_a_transformer_with_caches_gives_the_outputs_of_one_pass_over_all_tokens():
    seed_everything(0)
    transformer = perturbed(CausalTransformer(16, 2, 2, 0.1))
    rotary_embedding = grid_rotations(2, 3, 8)
    h = torch.randn(5, 6, 16)
    with torch.no_grad():
        caches = transformer.caches(5, 6, h.device)
        one_by_one = torch.stack([transformer.next(h[:, t], caches, t, rotary_embedding) for t in range(6)], 1)
        torch.testing.assert_close(one_by_one, transformer(h, rotary_embedding), atol=1e-5, rtol=1e-4)


def test_the_logits_of_a_latent_depend_on_earlier_latents_alone():
    """The gradient of the logits at each place with respect to the embedded latents at all places."""
    prior, _ = tiny_prior()
    latents = torch.tensor([[0, 1, 2, 0]])
    y = torch.tensor([1])
    for t in range(4):
        embedded = prior.token(latents).detach().requires_grad_()
        h = torch.cat([prior.start.expand(1, 1, -1), embedded[:, :-1]], 1) + prior.position[y]
        logits = prior.head(prior.transformer(h, prior.rotary_embedding))
        (gradient,) = torch.autograd.grad(logits[0, t].square().sum(), embedded)
        depends = gradient[0].abs().sum(1) > 0
        assert torch.equal(depends, torch.arange(4) < t)


def test_the_straight_through_estimator_copies_the_gradient_to_the_encoder():
    """The gradient with respect to z is that with respect to the quantized vectors."""
    z = torch.randn(3, 4, 5, requires_grad=True)
    quantized = torch.randn(3, 4, 5)
    output = straight_through(z, quantized)
    torch.testing.assert_close(output, quantized)
    (expected,) = torch.autograd.grad(quantized.requires_grad_().sin().sum(), quantized)
    (gradient,) = torch.autograd.grad(output.sin().sum(), z)
    torch.testing.assert_close(gradient, expected)


def test_codebook_vectors_move_to_the_mean_of_the_features_assigned_to_them():
    seed_everything(0)
    book = Codebook(3, 2)
    centers = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    book.words.copy_(centers + 1)
    book.count.fill_(1.0)
    book.sum.copy_(book.words)
    for _ in range(400):
        z = (centers[torch.arange(60) % 3] + torch.randn(60, 2)).view(6, 10, 2)
        book.update(z, book.nearest(z))
    torch.testing.assert_close(book.words, centers, atol=0.15, rtol=0)
    torch.testing.assert_close(book.nearest(centers), torch.arange(3))


def test_an_unused_codebook_vector_is_restarted_at_a_feature_of_the_batch():
    seed_everything(0)
    book = Codebook(3, 2)
    book.words.copy_(torch.tensor([[0.0, 0.0], [1.0, 1.0], [1e4, 1e4]]))  # nothing is assigned to the last one
    book.count.copy_(torch.tensor([1.0, 1.0, 0.11]))
    book.sum.copy_(book.words * book.count[:, None])
    for _ in range(10):
        z = torch.rand(4, 5, 2)
        book.update(z, book.nearest(z))
    assert book.words[2].max() <= 1
    fresh = Codebook(8, 2)
    fresh.update(z, fresh.nearest(z))
    rows = {tuple(row) for row in z.flatten(0, 1).tolist()}
    torch.testing.assert_close(fresh.words[0], z.flatten(0, 1).mean(0))  # all features are assigned to the first one
    assert {tuple(row) for row in fresh.words[1:].tolist()} <= rows, "the others start at features of the batch"


def test_the_decoders_distribution_sums_to_one_over_all_images():
    model = built(VQVAE, THREE_PIXELS, words=4, width=16)
    images = torch.cartesian_prod(*[torch.arange(3) / 2] * 3).view(-1, 1, 1, 3)
    with torch.no_grad():
        decoded = model._decode(torch.tensor([[0, 3, 1]]))
        mass = model.pixel_distribution.log_mass(images, decoded.expand(len(images), -1)).double().exp()
    assert float(mass.sum()) == pytest.approx(1, abs=1e-5)


def test_the_bound_of_every_class_is_one_term_of_the_sum_over_all_latents():
    """Against p(x, y) by enumeration of every grid of latents."""
    model = built(VQVAE, THREE_PIXELS, words=4, width=16)
    images = torch.cartesian_prod(*[torch.arange(3) / 2] * 3).view(-1, 1, 1, 3)
    model.codebook.words.normal_()
    grids = torch.tensor(list(itertools.product(range(4), repeat=3)))
    with torch.no_grad():
        decoded = model._decode(grids)[:, None].expand(-1, len(images), -1)  # (64, N, 3 M D)
        log_mass = torch.stack([model.pixel_distribution.log_mass(images, parameters) for parameters in decoded], 1)  # (N, 64)
        log_latents = torch.stack([model.prior.log_prob(grids, torch.full((64,), k)) for k in range(2)], 1)  # (64, K)
        terms = model.log_prior + log_mass[:, :, None] + log_latents  # (N, 64, K)
        bound = model.log_joint_bound(images)
        assert (bound <= terms.logsumexp(1) + 1e-5).all()
        index = (model._quantize(images) * torch.tensor([16, 4, 1])).sum(1)
        torch.testing.assert_close(bound, terms[torch.arange(len(images)), index], atol=1e-4, rtol=1e-4)
        assert float(terms.double().exp().sum()) == pytest.approx(1, abs=1e-4)


@pytest.mark.slow
def test_the_importance_weights_average_to_the_mass_and_their_bound_is_below_it(monkeypatch):
    """Against p(x) by enumeration of every grid of latents and every label."""
    model = built(VQVAE, THREE_PIXELS, words=4, width=16)
    images = torch.cartesian_prod(*[torch.arange(3) / 2] * 3).view(-1, 1, 1, 3)[::3]
    model.codebook.words.normal_().mul_(0.2)  # close together: no latent is improbable, so that the weights are of similar size
    grids = torch.tensor(list(itertools.product(range(4), repeat=3)))
    with torch.no_grad():
        decoded = model._decode(grids)[:, None].expand(-1, len(images), -1)  # (64, N, 3 M D)
        log_mass = torch.stack([model.pixel_distribution.log_mass(images, parameters) for parameters in decoded], 1)  # (N, 64)
        log_latents = torch.stack([model.prior.log_prob(grids, torch.full((64,), k)) for k in range(2)], 1)  # (64, K)
        exact = (model.log_prior + log_mass[:, :, None] + log_latents).flatten(1).logsumexp(1).double()  # (N,)
        seed_everything(0)
        monkeypatch.setattr(vq_vae, "N_IMPORTANCE_SAMPLES", 20_000)
        log_weights = model._log_weights(images).double()  # (20000, N)
    weights = log_weights.exp()
    error = weights.std(0) / math.sqrt(len(weights))
    assert ((weights.mean(0) - exact.exp()).abs() < 4.5 * error).all() and (error / exact.exp()).median() < 0.06
    bounds = log_weights.view(-1, 16, len(images)).logsumexp(1) - math.log(16)
    below = exact - bounds.mean(0)
    assert (below > -4 * bounds.std(0) / math.sqrt(len(bounds))).all() and below.mean() > 0


@pytest.mark.slow
def test_the_bound_of_importance_samples_holds_several_times_the_mass_of_a_single_latent():
    """A known distribution of 3 x 3 binary pixels: each repeats the one to its left in class 0, the one above it in class 1."""
    generator = torch.Generator().manual_seed(1)
    y = (torch.rand(1200, generator=generator) < 0.5).long()
    x = (torch.rand(1200, 1, 3, 3, generator=generator) < 0.4).float()
    for i in (1, 2):
        repeats = torch.rand(1200, 1, 3, generator=generator) < 0.8
        x[..., i] = torch.where((y == 0)[:, None, None] & repeats, x[..., i - 1], x[..., i])
        x[..., i, :] = torch.where((y == 1)[:, None, None] & repeats, x[..., i - 1, :], x[..., i, :])
    seed_everything(0)
    model = build_model(VQVAE, steps=200)
    spec = DataSpec("made", (1, 3, 3), 2, 2, ("left", "above"))
    model.fit(TrainingData(spec, x[:1000], y[:1000], x[1000:], y[1000:]), Trainer())
    images = torch.cartesian_prod(*[torch.arange(2.0)] * 9).view(512, 1, 3, 3)
    single = predict_batched(model, "log_joint_bound", images).logsumexp(1).double()
    bound = torch.stack([predict_batched(model, "log_prob_bound", images) for _ in range(10)]).double().mean(0)
    assert single.exp().sum() < 0.15 < 0.35 < bound.exp().sum() < 1
    assert (bound > single).double().mean() > 0.95, "nearly every image gains"


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 28, 28), (1, 33, 20), (1, 64, 64), (1, 1, 3)], ids=str)
def test_images_of_any_size_are_encoded_to_small_grids_and_decoded_to_their_size(shape):
    _, height, width = grid_of(shape)
    features = PatchEncoder(shape, 16, 4)(torch.rand(2, *shape))
    assert features.shape == (2, height * width, 4) and min(height, width) <= 7
    parameters = PatchDecoder(shape, 16, 4, 6)(features)
    assert parameters.shape == (2, 6 * shape[0] * shape[1] * shape[2])


@pytest.mark.parametrize("spec", [DIGITS, CLOTHES], ids=["digits", "names"])
def test_no_held_out_wording_is_a_training_caption(spec):
    model = built(DALLE, spec, words=4)
    all_training = {tuple(row.tolist()) for row in model.training_captions.flatten(0, 1)}
    for label in range(spec.classes):
        training, held_out = model.captions(label)
        assert len(held_out) >= 5
        assert not {caption.lower() for caption in training} & {caption.lower() for caption in held_out}
        assert not {tuple(row.tolist()) for row in model.tokens(held_out)} & all_training
        of_label = {tuple(row.tolist()) for row in model.training_captions[label]}
        assert {tuple(row.tolist()) for row in model.tokens(training)} == of_label
        sampled = model._sample_captions(torch.full((200,), label))
        assert {tuple(row.tolist()) for row in sampled} <= of_label
        words = re.findall(r"\w+", spec.class_names[label].lower())
        for caption in training + held_out:
            of_caption = set(re.findall(r"\w+", caption.lower()))
            assert of_caption >= set(words) or (spec is DIGITS and of_caption & set(NUMERALS)), caption


def test_a_caption_of_a_digit_names_this_digit_alone():
    model = built(DALLE, DIGITS, words=4)
    names = {name: k for k, name in enumerate(NUMERALS)} | {str(k): k for k in range(10)}
    for label in range(10):
        for caption in itertools.chain(*model.captions(label)):
            assert [names[word] for word in re.findall(r"\w+", caption.lower()) if word in names] == [label]
    assert "a handwritten three" in model.captions(3)[0] and "3, the digit" in model.captions(3)[0]


def test_case_and_punctuation_do_not_change_the_tokens():
    model = built(DALLE, DIGITS, words=4)
    one, other = model.tokens(["A handwritten THREE!", "a handwritten three"])
    assert torch.equal(one, other) and (one[3:] == PADDING).all() and (one[:3] > UNKNOWN).all()
    assert (model.tokens(["a blue three"])[0, :3] == UNKNOWN).tolist() == [False, True, False]


def test_the_error_for_a_prompt_of_unknown_words_names_known_words():
    model = built(DALLE, DIGITS, words=4)
    with pytest.raises(ValueError, match=r"no word of the prompt 'purple elephants' is known; known are, among others: .*two"):
        model.sample_text(["a three", "purple elephants"])
    with pytest.raises(ValueError, match="is known"):
        model.sample_text([""])
    with pytest.raises(ValueError, match=f"has 40 words; at most {model.text_length} are allowed"):
        model.sample_text(["three " * 40])


def test_dropped_words_become_unknown_and_unknown_words_are_put_in_front():
    model = built(DALLE, DIGITS, words=4)
    captions = model.tokens(["the number 7"]).expand(500, -1)
    noisy = model._drop_words(captions)
    prefix = (noisy == UNKNOWN).int().cumprod(1).sum(1)
    assert set(prefix.tolist()) >= {0, 1, 2, 3}
    assert (((noisy != PADDING).sum(1) - 3) == torch.arange(4)[:, None]).any(0).all(), (
        "0 to 3 words in front, and none is cut off"
    )
    kept = (noisy == captions[0, 2]).any(1).float().mean()
    assert 0.8 < float(kept) < 0.98


def test_logits_with_caches_are_those_of_one_pass_over_caption_and_latents():
    model = built(DALLE, DIGITS, words=4)
    transformer = model.transformer
    captions = model.tokens(["a three", "draw a 4"])
    latents = torch.randint(4, (2, transformer.image_length))
    with torch.no_grad():
        logits = transformer.logits(captions, latents)[1]
        transformer.histogram.normal_()
        torch.testing.assert_close(transformer.logits(captions, latents)[1], logits + transformer.histogram)
        length = transformer.text_length + transformer.image_length
        caches = transformer.transformer.caches(2, length, latents.device)
        embedded = transformer.token(torch.cat([captions, transformer.vocabulary + latents], 1))
        previous = transformer.start.expand(2, -1)
        one_by_one = []
        for i in range(length):
            h = transformer.transformer.next(previous + transformer.position[i], caches, i, transformer.rotary_embedding)
            one_by_one.append(transformer.image_head(transformer.norm(h)))
            previous = embedded[:, i]
        torch.testing.assert_close(torch.stack(one_by_one[transformer.text_length :], 1), logits, atol=1e-4, rtol=1e-4)


class TextToImage:
    """Gives a bright image for a training wording, and a dark one for a held-out wording."""

    def captions(self, label):
        return [f"number {label}", f"the {label}"], [f"please {label}"]

    def sample_text(self, texts):
        bright = torch.tensor([float("please" not in text) for text in texts])
        return bright[:, None, None, None].expand(-1, 1, 8, 8)


class BrightnessClassifier:
    """Class 1 for bright images, class 0 for dark ones."""

    def predict_proba(self, x):
        bright = x.mean((1, 2, 3))
        return torch.stack([1 - bright, bright], 1)


def test_agreement_is_measured_for_training_and_held_out_wordings_apart():
    agreement = prompt_agreement(TextToImage(), torch.tensor([1, 1, 1, 0]), BrightnessClassifier())
    assert agreement.values.shape == (4, 2, 1) and agreement.values.dtype == torch.bool
    assert text_agreement(agreement.values.numpy()).tolist() == [1, 1, 1, 0]
    assert text_agreement_held_out(agreement.values.numpy()).tolist() == [0, 0, 0, 1]


def test_images_of_a_fitted_model_match_training_and_held_out_captions():
    """Two classes: images that are bright in the upper or in the lower half."""
    y = torch.arange(80) % 2
    x = torch.rand(80, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.3
    x[y == 0, :, :4] += 0.7
    x[y == 1, :, 4:] += 0.7
    x = (x * 4).round() / 4
    spec = DataSpec("made", (1, 8, 8), 2, 5, ("Sky", "Ground"))
    seed_everything(0)
    model = build_model(DALLE, steps=60, batch=20, width=16, transformer_width=32, words=8)
    model.fit(TrainingData(spec, x[:60], y[:60], x[60:], y[60:]), Trainer())
    for kind in range(2):
        texts = [caption for label in range(2) for caption in model.captions(label)[kind]]
        labels = torch.tensor([label for label in range(2) for _ in model.captions(label)[kind]])
        with inference(model):
            samples = model.sample_text(texts)
        below = samples[:, :, 4:].mean((1, 2, 3)) > samples[:, :, :4].mean((1, 2, 3))
        assert (below.long() == labels).float().mean() > 0.85
