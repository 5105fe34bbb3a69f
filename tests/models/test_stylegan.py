"""The parts of StyleGAN: modulated convolutions, truncation, mean styles, style mixing, minibatch deviation."""

import math

import pytest
import torch
from torch.nn import functional as F

from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.hyperparameters import build_model
from pofxy.base.prediction import sample_batched
from pofxy.base.seeding import seed_everything
from pofxy.models.generative.stylegan import StyleGAN
from pofxy.nets.style_synthesis import ModulatedConvolution
from pofxy.training.trainer import Trainer

torch.set_num_threads(1)


@pytest.fixture
def model():
    """Untrained, for images of two classes, with running means of its styles."""
    torch.manual_seed(0)
    untrained = StyleGAN(channels=8, ema_decay=0.5)
    untrained.build(DataSpec("made", (1, 16, 16), 2, 17, ("a", "b")))
    for _ in range(30):
        untrained.generator(untrained._generator_input(untrained._sample_noise(40), torch.arange(40) % 2))
        untrained.ema.update_parameters(untrained.generator)
    return untrained.eval()


@pytest.mark.parametrize("upsample", [False, True])
def test_modulation_is_a_convolution_with_separate_weights_for_each_image(upsample):
    torch.manual_seed(1)
    layer = ModulatedConvolution(6, 5, upsample).double()
    x = torch.randn(4, 6, 7, 8, dtype=torch.float64)
    style = torch.randn(4, 6, dtype=torch.float64)
    output = layer.modulated_convolution(x, style)
    assert output.shape == ((4, 5, 14, 16) if upsample else (4, 5, 7, 8))
    for n in range(4):
        if upsample:
            weight = layer.weight * style[n, :, None, None, None]  # (I, O, 4, 4); a quarter of the taps reaches a pixel
            weight = weight / (weight.square().sum((0, 2, 3), keepdim=True) / 4 / 2).sqrt()
            expected = F.conv_transpose2d(x[n : n + 1], weight, stride=2, padding=1)
        else:
            weight = layer.weight * style[n, None, :, None, None]  # (O, I, 3, 3)
            weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) / 2).sqrt()
            expected = F.conv2d(x[n : n + 1], weight, padding=1)
        torch.testing.assert_close(output[n : n + 1], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("upsample", [False, True])
def test_the_mean_square_of_a_layers_output_does_not_depend_on_the_style(upsample):
    torch.manual_seed(2)
    layer = ModulatedConvolution(16, 12, upsample)
    x = torch.randn(3000, 16, 5, 5)
    for style in (torch.full((16,), 0.01), 10 ** torch.linspace(-1, 2, 16)):
        inner = layer.modulated_convolution(x, style.expand(3000, -1))[..., 1:-1, 1:-1]  # without the padded border
        torch.testing.assert_close(inner.var((0, 2, 3)), torch.full((12,), 2.0), rtol=0.1, atol=0)
        mean_square = F.leaky_relu(inner, 0.2).square().mean((0, 2, 3))
        torch.testing.assert_close(mean_square, torch.full((12,), 1 + 0.2**2), rtol=0.1, atol=0)


def test_truncation_one_keeps_the_style_and_truncation_zero_gives_the_mean_style_of_the_class(model):
    labels = torch.arange(40) % 2
    model.truncation = 0.0
    means = sample_batched(model, 40, labels)
    for k in range(2):
        assert (means[labels == k] - means[k]).abs().max() < 1e-6
    assert not torch.allclose(means[0], means[1])
    truncated = model._truncate(torch.randn(40, model.style), labels)
    torch.testing.assert_close(truncated, model.ema.module.mapping.mean[labels])
    spreads = []
    for model.truncation in (0.5, 1.0):
        torch.manual_seed(0)
        spreads.append(float(sample_batched(model, 40, labels).sub(means).square().mean()))
    assert 0 < spreads[0] < spreads[1]
    w = torch.randn(40, model.style)
    torch.testing.assert_close(model._truncate(w, labels), w)


def test_the_running_mean_of_styles_is_their_mean_for_each_class():
    torch.manual_seed(0)
    model = StyleGAN()
    model.build(DataSpec("made", (1, 8, 8), 2, 17, ("a", "b")))
    mapping = model.generator.mapping
    for _ in range(600):
        mapping(model._generator_input(model._sample_noise(64), torch.arange(64) % 2))
    mapping.eval()
    for k in range(2):
        w = mapping(model._generator_input(model._sample_noise(4000), torch.full((4000,), k)))
        assert (mapping.mean[k] - w.mean(0)).abs().max() < 0.1 < w.std(0).min()


def test_the_fine_style_changes_the_layers_after_the_crossover_alone(model):
    synthesis = model.ema.module.synthesis  # untrained: the strength of the noise is 0
    torch.manual_seed(3)
    one, other = torch.randn(2, 6, model.style).unbind()
    count = len(synthesis.layers)
    assert count == 5, "4 x 4, then two layers each for 8 x 8 and 16 x 16"
    outputs = {}
    for crossover in range(count + 1):
        of_layers = []
        hooks = [
            layer.register_forward_hook(lambda _module, _input, output, kept=of_layers: kept.append(output))
            for layer in synthesis.layers
        ]
        image = synthesis(one, other, torch.full((6,), crossover))
        outputs[crossover] = [*of_layers, image]
        for hook in hooks:
            hook.remove()
    pure = outputs[count]
    for crossover in range(count):
        for i in range(count):
            assert torch.allclose(outputs[crossover][i], pure[i]) == (i < crossover), (crossover, i)
        assert not torch.allclose(outputs[crossover][-1], pure[-1])
    torch.testing.assert_close(pure[-1], synthesis(one, one))
    torch.testing.assert_close(outputs[0][-1], synthesis(other, other))


def test_noise_has_no_effect_at_strength_zero_and_changes_the_image_otherwise(model):
    synthesis = model.ema.module.synthesis
    w = torch.randn(3, model.style)
    assert torch.equal(synthesis(w, w), synthesis(w, w))
    for layer in synthesis.layers:
        layer.strength.fill_(0.5)
    assert not torch.allclose(synthesis(w, w), synthesis(w, w))


def test_the_minibatch_deviation_is_the_mean_standard_deviation_of_a_group(model):
    x = torch.randn(8, 3, 4, 4)
    x[4:] = x[4]
    deviation = model.discriminator._minibatch_deviation(x)
    expected = x[:4].std(0, unbiased=False).mean()
    torch.testing.assert_close(deviation[:4], expected.expand(4, 1), rtol=1e-3, atol=1e-3)
    assert deviation[4:].max() < 1e-3 + math.sqrt(1e-8)


def test_the_picture_is_a_grid_of_mixed_styles_with_a_margin_of_unmixed_images():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(64, 1, 8, 8, generator=generator)
    y = torch.arange(64) % 2
    model = build_model(StyleGAN, channels=8, steps=4, batch=16)
    seed_everything(0)
    model.fit(TrainingData(DataSpec("made", (1, 8, 8), 2, 17, ("a", "b")), x, y, x, y), Trainer())
    picture = model.picture(x, y)
    grid = picture.images.view(10, 10, 1, 8, 8)  # (rows columns, C, H, W) -> (rows, columns, C, H, W)
    assert picture.columns == 10 and (grid[0, 0] == 0).all()
    assert (grid[1:, 1:].var(0).mean() > 0) and (grid[1:, 1:].var(1).mean() > 0), "both styles change the image"
