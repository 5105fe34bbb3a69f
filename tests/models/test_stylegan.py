"""StyleGAN's parts against what they stand for: weights of each image's own, unit variance, mean styles, mixtures."""

import math

import pytest
import torch
from torch.nn import functional as F

from pofxy.base.data import DataSpec, TrainingData
from pofxy.base.prediction import sample_batched
from pofxy.base.seeding import seed_everything
from pofxy.models.generative.stylegan import StyleGAN
from pofxy.nets.style_synthesis import ModulatedConvolution
from pofxy.training.trainer import Trainer

torch.set_num_threads(1)


@pytest.fixture
def model():
    """Untrained, for images of two classes; it has begun to find the means of its styles."""
    torch.manual_seed(0)
    made = StyleGAN(channels=8, ema_decay=0.5)
    made.build(DataSpec("made", (1, 16, 16), 2, 17, ("a", "b")))
    for _ in range(30):
        made.generator(made._inputs(made._noise(40), torch.arange(40) % 2))
        made.averaged.update_parameters(made.generator)
    return made.eval()


@pytest.mark.parametrize("doubling", [False, True])
def test_scaling_channels_is_a_convolution_with_weights_of_each_images_own(doubling):
    torch.manual_seed(1)
    layer = ModulatedConvolution(6, 5, doubling).double()
    x, style = torch.randn(4, 6, 7, 8, dtype=torch.float64), torch.randn(4, 6, dtype=torch.float64)
    found = layer.convolved(x, style)
    assert found.shape == ((4, 5, 14, 16) if doubling else (4, 5, 7, 8))
    for n in range(4):
        if doubling:
            weight = layer.weight * style[n, :, None, None, None]  # (I, O, 4, 4); a pixel sees a quarter of the taps
            weight = weight / (weight.square().sum((0, 2, 3), keepdim=True) / 4 / 2).sqrt()
            expected = F.conv_transpose2d(x[n : n + 1], weight, stride=2, padding=1)
        else:
            weight = layer.weight * style[n, None, :, None, None]  # (O, I, 3, 3)
            weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) / 2).sqrt()
            expected = F.conv2d(x[n : n + 1], weight, padding=1)
        torch.testing.assert_close(found[n : n + 1], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("doubling", [False, True])
def test_whatever_the_style_a_layers_output_keeps_the_mean_square_of_its_input(doubling):
    torch.manual_seed(2)
    layer = ModulatedConvolution(16, 12, doubling)
    x = torch.randn(3000, 16, 5, 5)
    for style in (torch.full((16,), 0.01), 10 ** torch.linspace(-1, 2, 16)):
        inner = layer.convolved(x, style.expand(3000, -1))[..., 1:-1, 1:-1]  # the border sees fewer pixels
        torch.testing.assert_close(inner.var((0, 2, 3)), torch.full((12,), 2.0), rtol=0.1, atol=0)
        through = F.leaky_relu(inner, 0.2).square().mean((0, 2, 3))
        torch.testing.assert_close(through, torch.full((12,), 1 + 0.2**2), rtol=0.1, atol=0)


def test_no_truncation_leaves_a_style_and_full_truncation_gives_the_mean_style_of_its_class(model):
    labels = torch.arange(40) % 2
    model.truncation = 0.0
    means = sample_batched(model, 40, labels)
    for k in range(2):
        assert (means[labels == k] - means[k]).abs().max() < 1e-6
    assert not torch.allclose(means[0], means[1])
    torch.testing.assert_close(model._truncated(torch.randn(40, model.style), labels), model.averaged.module.mapping.mean[labels])
    spreads = []
    for model.truncation in (0.5, 1.0):
        torch.manual_seed(0)
        spreads.append(float(sample_batched(model, 40, labels).sub(means).square().mean()))
    assert 0 < spreads[0] < spreads[1]
    w = torch.randn(40, model.style)
    torch.testing.assert_close(model._truncated(w, labels), w)


def test_the_running_mean_of_styles_is_their_mean_for_each_class():
    torch.manual_seed(0)
    model = StyleGAN()
    model.build(DataSpec("made", (1, 8, 8), 2, 17, ("a", "b")))
    mapping = model.generator.mapping
    for _ in range(600):
        mapping(model._inputs(model._noise(64), torch.arange(64) % 2))
    mapping.eval()
    for k in range(2):
        w = mapping(model._inputs(model._noise(4000), torch.full((4000,), k)))
        assert (mapping.mean[k] - w.mean(0)).abs().max() < 0.1 < w.std(0).min()


def test_the_fine_style_changes_what_comes_after_the_crossover_alone(model):
    synthesis = model.averaged.module.synthesis  # untrained: the noise of each pixel has no strength
    torch.manual_seed(3)
    one, other = torch.randn(2, 6, model.style).unbind()
    count = len(synthesis.layers)
    assert count == 5, "4 x 4, then two layers each for 8 x 8 and 16 x 16"
    outputs = {}
    for cross in range(count + 1):
        seen = []
        hooks = [layer.register_forward_hook(lambda _m, _i, out, seen=seen: seen.append(out)) for layer in synthesis.layers]
        image = synthesis(one, other, torch.full((6,), cross))
        outputs[cross] = [*seen, image]
        for hook in hooks:
            hook.remove()
    pure = outputs[count]
    for cross in range(count):
        for i in range(count):
            assert torch.allclose(outputs[cross][i], pure[i]) == (i < cross), (cross, i)
        assert not torch.allclose(outputs[cross][-1], pure[-1])
    torch.testing.assert_close(pure[-1], synthesis(one, one))
    torch.testing.assert_close(outputs[0][-1], synthesis(other, other))


def test_noise_has_no_say_at_first_and_changes_an_image_when_it_has_strength(model):
    synthesis, w = model.averaged.module.synthesis, torch.randn(3, model.style)
    assert torch.equal(synthesis(w, w), synthesis(w, w))
    for layer in synthesis.layers:
        layer.strength.fill_(0.5)
    assert not torch.allclose(synthesis(w, w), synthesis(w, w))


def test_the_discriminator_sees_whether_images_of_a_group_are_alike(model):
    x = torch.randn(8, 3, 4, 4)
    x[4:] = x[4]
    found = model.discriminator._deviation(x)
    expected = x[:4].std(0, unbiased=False).mean()
    torch.testing.assert_close(found[:4], expected.expand(4, 1), rtol=1e-3, atol=1e-3)
    assert found[4:].max() < 1e-3 + math.sqrt(1e-8)


def test_the_mixing_grid_holds_its_margins():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(64, 1, 8, 8, generator=generator), torch.arange(64) % 2
    model = StyleGAN(channels=8, steps=4, batch=16)
    seed_everything(0)
    model.fit(TrainingData(DataSpec("made", (1, 8, 8), 2, 17, ("a", "b")), x, y, x, y), Trainer())
    picture = model.picture(x, y)
    grid = picture.images.view(10, 10, 1, 8, 8)  # (rows columns, C, H, W) -> (rows, columns, C, H, W)
    assert picture.columns == 10 and (grid[0, 0] == 0).all()
    assert (grid[1:, 1:].var(0).mean() > 0) and (grid[1:, 1:].var(1).mean() > 0), "both styles change the image"
