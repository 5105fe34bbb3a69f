"""Flows: the maps are inverse to each other, the determinants equal autograd's, and the density integrates to one."""

import copy
import math

import numpy as np
import pytest
import torch
from scipy import spatial, special, stats

from pofxy.base.data import DataSpec, TrainingData, dequantize
from pofxy.base.hyperparameters import build_model
from pofxy.base.prediction import predict_batched, sample_batched
from pofxy.base.seeding import seed_everything
from pofxy.models.generative import glow, real_nvp
from pofxy.nets import normalizing_flow
from pofxy.training.trainer import Trainer

torch.set_num_threads(1)
FLOWS = {"real_nvp": real_nvp.RealNVP, "glow": glow.Glow}
# Sides divisible by 2 and 3, by 3 only, by neither; three channels; the smallest images.
SHAPES = [(1, 8, 8), (3, 6, 4), (1, 9, 5), (1, 7, 7), (1, 33, 20), (1, 1, 3), (1, 2, 1), (2, 1, 1)]
of_any_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
of_both = pytest.mark.parametrize("name", FLOWS)


def spec_of(shape, levels=5, classes=3):
    return DataSpec("made", shape, classes, levels, tuple("abc"[:classes]))


def perturbed(name, spec, amount=0.03, **more):
    """An untrained flow none of whose layers is the identity, and the images that its preprocessing was fitted to."""
    seed_everything(1)
    x = torch.rand(200, *spec.shape) ** 2
    if spec.levels:
        x = (x * (spec.levels - 1)).round() / (spec.levels - 1)
    model = FLOWS[name](hidden=16, **more)
    model.build(spec)
    model.preprocess.fit(x)
    model.log_prior = torch.tensor([0.2, 0.5, 0.3][: spec.classes]).log()
    with torch.no_grad():
        model.initialize(model.preprocess(model._dequantize(x).flatten(1))[0])
        for parameter in model.parameters():
            parameter += amount * torch.randn_like(parameter)
    return model.eval(), x


def jacobian_log_det(function, x):
    """log |det| of a map of one point x (..., no batch) by autograd."""
    jacobian = torch.autograd.functional.jacobian(lambda x: function(x[None])[0].flatten(), x)
    return float(torch.linalg.slogdet(jacobian.view(x.numel(), x.numel())).logabsdet)


@of_any_shape
@of_both
def test_the_two_maps_are_inverse_to_each_other(name, shape):
    model, x = perturbed(name, spec_of(shape))
    with torch.inference_mode():
        points = dequantize(x, 5).flatten(1)
        torch.testing.assert_close(model.points_of(model.encode(points)), points, atol=1e-4, rtol=0)
        samples = model.sample_points(torch.arange(200) % 3)
        torch.testing.assert_close(model.points_of(model.encode(samples)), samples, atol=1e-4, rtol=0)
        z = torch.randn(200, math.prod(shape))
        torch.testing.assert_close(model.to_base(model.from_base(z))[0], z, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("columns", [1, 2, 5])
def test_the_flow_of_a_table_is_inverted_and_its_determinant_is_autograds(columns):
    model, x = perturbed("real_nvp", spec_of((columns,), levels=None))
    torch.testing.assert_close(model.points_of(model.encode(x)), x, atol=1e-4, rtol=0)
    model = model.double()
    x = x.double()
    for row in x[:3]:
        assert model._base_point(row[None])[1].item() == pytest.approx(jacobian_log_det(model.encode, row), abs=1e-6)


@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 2, 2), (1, 3, 5), (1, 1, 3)], ids=str)
@of_both
def test_the_log_determinant_is_autograds(name, shape):
    model, x = perturbed(name, spec_of(shape))
    model = model.double()
    for point in dequantize(x[:2].double(), 5).flatten(1):
        assert model._base_point(point[None])[1].item() == pytest.approx(jacobian_log_det(model.encode, point), abs=1e-5)


LAYERS = {
    "actnorm": (lambda: glow.ActNorm((4, 2, 3)), (4, 2, 3)),
    "1 x 1 convolution": (lambda: glow.InvertibleConvolution((5, 2, 3)), (5, 2, 3)),
    "coupling of channels": (lambda: glow.AffineCoupling((5, 2, 3), 2, glow.CouplingNet((5, 2, 3), 2, 8, 0.5)), (5, 2, 3)),
    "squeeze": (lambda: glow.Squeeze((2, 6, 4), (3, 2)), (2, 6, 4)),
    "coupling of halves": (lambda: real_nvp.CouplingPair(7, 8, 0.5), (7,)),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_each_layer_has_an_exact_inverse_and_determinant(layer):
    make, shape = LAYERS[layer]
    seed_everything(0)
    layer = make().double().eval()
    for parameter in layer.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    v = torch.randn(6, *shape, dtype=torch.float64)
    z, log_det = layer(v)
    torch.testing.assert_close(layer.inverse(z), v, atol=1e-9, rtol=0)
    expected = [jacobian_log_det(lambda one: layer(one)[0], one) for one in v]
    torch.testing.assert_close(
        torch.as_tensor(log_det, dtype=torch.float64).expand(6), torch.tensor(expected, dtype=torch.float64), atol=1e-9, rtol=0
    )


def test_split_is_inverted_from_both_halves():
    seed_everything(0)
    split = glow.Split((5, 2, 3)).double()
    split.coupling.net.weight.data += 0.3 * torch.randn_like(split.coupling.net.weight)
    v = torch.randn(4, 5, 2, 3, dtype=torch.float64)
    goes_on, log_det, leaves = split(v)
    assert leaves.shape[1:] == split.leaves
    torch.testing.assert_close(split.inverse(goes_on, leaves), v)

    def whole(v):
        goes_on, _, leaves = split(v)
        return torch.cat([goes_on, leaves], 1)

    assert log_det[0].item() == pytest.approx(jacobian_log_det(whole, v[0]), abs=1e-9)


def test_squeeze_keeps_neighbors_at_one_location():
    v = torch.arange(24.0).view(1, 1, 6, 4)
    z, _ = glow.Squeeze((1, 6, 4), (3, 2))(v)
    assert z.shape == (1, 6, 2, 2)
    assert z[0, :, 0, 1].tolist() == [2, 3, 6, 7, 10, 11]


@pytest.mark.parametrize(
    ("name", "shape"), [("real_nvp", (1, 1, 2)), ("glow", (1, 1, 2)), ("glow", (2, 1, 1)), ("real_nvp", (2,))]
)
def test_the_joint_integrates_to_the_class_prior_in_two_dimensions(name, shape):
    """By the midpoint rule, within the bins of images and far around a table."""
    levels = None if len(shape) == 1 else 5
    model, _ = perturbed(name, spec_of(shape, levels), amount=0.05)
    low, high = (-2, 3) if levels is None else (-1 / 8, 9 / 8)
    ticks = low + (high - low) * (torch.arange(800) + 0.5) / 800
    joint = predict_batched(model, "log_joint", torch.cartesian_prod(ticks, ticks).view(-1, *shape), batch=100_000)
    integral = joint.double().exp().sum(0) * ((high - low) / 800) ** 2
    torch.testing.assert_close(integral, model.log_prior.exp().double(), atol=2e-3, rtol=0)


@pytest.mark.parametrize(("name", "shape"), [("real_nvp", (1, 2, 2)), ("glow", (1, 2, 2)), ("real_nvp", (4,))])
def test_the_density_integrates_to_one_in_four_dimensions(name, shape):
    """By importance sampling: from the uniform distribution over all bins, and for a table from a wide Student t distribution."""
    levels = None if len(shape) == 1 else 5
    model, x = perturbed(name, spec_of(shape, levels), amount=0.05)
    torch.manual_seed(0)
    if levels:
        points = (torch.rand(100_000, *shape) * 5 - 0.5) / 4
        log_proposal = torch.full((100_000,), -4 * math.log(5 / 4))
    else:
        wide = torch.distributions.StudentT(5.0, loc=x.mean(0), scale=1.5 * x.std(0))
        points = wide.sample((100_000,))
        log_proposal = wide.log_prob(points).sum(1)
    weight = (predict_batched(model, "log_prob", points, batch=50_000) - log_proposal).double().exp()
    assert float(weight.mean()) == pytest.approx(1, abs=0.03)
    assert abs(float(weight.mean()) - 1) < 5 * float(weight.std()) / math.sqrt(100_000)


@of_both
def test_the_density_is_zero_outside_of_the_bins(name):
    model, x = perturbed(name, spec_of((1, 4, 4)))
    x[0, 0, 0, 0] = -0.126
    x[1, 0, 3, 3] = 1.126
    x[2] = -0.125
    x[3] = 1.125
    log_prob = predict_batched(model, "log_prob", x)
    assert (log_prob[:2] == -math.inf).all() and log_prob[2:].isfinite().all()


def nearest_neighbor_entropy(points):
    """Entropy in nats of points (n, D), by the estimator of L. F. Kozachenko, N. N. Leonenko, 1987."""
    n, dimensions = points.shape
    distance = spatial.cKDTree(points).query(points, k=2)[0][:, 1]
    ball = dimensions / 2 * math.log(math.pi) - special.gammaln(dimensions / 2 + 1)
    return special.digamma(n) - special.digamma(1) + ball + dimensions * np.log(distance).mean()


@pytest.mark.parametrize(("name", "shape"), [("real_nvp", (2,)), ("real_nvp", (1, 1, 2)), ("glow", (1, 1, 2))])
def test_samples_have_the_entropy_and_the_class_shares_of_the_density(name, shape):
    levels = None if len(shape) == 1 else 5
    model, _ = perturbed(name, spec_of(shape, levels), amount=0.05)
    torch.manual_seed(0)
    labels = torch.multinomial(model.log_prior.exp(), 30_000, replacement=True)
    with torch.inference_mode():
        points = model.sample_points(labels)
        log_prob = model.log_prob(points).double()
        posterior = model.predict_proba(points)
    assert -float(log_prob.mean()) == pytest.approx(nearest_neighbor_entropy(points.double().numpy()), abs=0.04)
    # The mean posterior of samples is the share of each class among their labels.
    torch.testing.assert_close(posterior.mean(0), labels.bincount() / len(labels), atol=0.01, rtol=0)


def test_actnorm_is_initialized_to_mean_zero_and_variance_one():
    """For the input of each layer in the first batch."""
    seed_everything(0)
    model = glow.Glow(hidden=16)
    model.build(spec_of((1, 8, 8)))
    v = 3 + 2 * torch.randn(300, 64) @ torch.randn(64, 64)
    with torch.no_grad():
        model.initialize(v)
    outputs = []
    for stage in model.stages:
        if isinstance(stage, glow.ActNorm):
            stage.register_forward_hook(lambda stage, inputs, output: outputs.append(output[0]))
    with torch.no_grad():
        model.to_base(v)
    assert len(outputs) == 2 * model.n_flow_steps
    for z in outputs:
        torch.testing.assert_close(z.mean((0, 2, 3)), torch.zeros(z.shape[1]), atol=1e-4, rtol=0)
        torch.testing.assert_close(z.var((0, 2, 3), correction=0), torch.ones(z.shape[1]), atol=1e-3, rtol=0)


@of_both
def test_temperature_zero_gives_the_center_of_the_class_and_lower_temperature_less_spread(name):
    spread = []
    for temperature in (0.0, 0.5, 1.0):
        model, _ = perturbed(name, spec_of((1, 4, 4), levels=256), temperature=temperature)
        samples = sample_batched(model, 400, torch.full((400,), 1))
        spread.append(float(samples.std(0).mean()))
        if temperature == 0:
            center = model.points_of(model.mean[1:2]).clamp(0, 1)
            torch.testing.assert_close(samples[:1].flatten(1), center, atol=0.51 / 255, rtol=0)
    assert spread[0] == 0 and 0 < spread[1] < spread[2]


@of_both
def test_samples_are_quantized_and_the_labels_follow_the_prior(name):
    model, _ = perturbed(name, spec_of((1, 4, 4)))
    seed_everything(0)
    samples = sample_batched(model, 50) * 4
    torch.testing.assert_close(samples, samples.round(), atol=1e-5, rtol=0)
    shares = model.drawn_labels(3000).bincount() / 3000
    torch.testing.assert_close(shares, model.log_prior.exp(), atol=0.04, rtol=0)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 28, 28), (6,)], ids=str)
@of_both
def test_single_precision_agrees_with_double(name, shape):
    levels = None if len(shape) == 1 else 256
    if levels is None and name == "glow":
        pytest.skip("Glow takes no tables")
    model, x = perturbed(name, spec_of(shape, levels))
    points = model._dequantize(x)
    single = predict_batched(model, "log_joint", points).double()
    double = predict_batched(copy.deepcopy(model).double(), "log_joint", points.double())
    torch.testing.assert_close(single, double, rtol=1e-4, atol=1e-2)


def test_pixels_become_normal_and_their_bins_keep_their_mass():
    seed_everything(0)
    x = torch.randint(0, 5, (2000, 1, 2, 3)).clamp(max=3).float() / 4
    gaussianize = normalizing_flow.PixelGaussianization(6, 5)
    gaussianize.fit(x)
    v, _ = gaussianize(dequantize(x, 5).flatten(1))
    for column in v.T:
        assert stats.kstest(column.numpy(), "norm").pvalue > 1e-3
    # The density is constant in a bin, and the masses of all levels of a pixel sum to one.
    grid = (torch.arange(50) + 0.5 - 5) / 40  # ten points of each of the five bins
    points = torch.full((50, 6), 0.25)
    points[:, 2] = grid
    v, log_slope = gaussianize(points)
    log_density = log_slope + torch.distributions.Normal(0.0, 1.0).log_prob(v).sum(1)
    bins = log_density.view(5, 10)  # (levels, points)
    torch.testing.assert_close(bins, bins[:, :1].expand(5, 10), atol=1e-4, rtol=0)
    other_pixels = log_density[10] - math.log((x[:, 0, 0, 2] == 0.25).float().mean() * 4)
    mass = (bins[:, 0] - other_pixels).exp() / 4
    assert float(mass.sum()) == pytest.approx(1, abs=0.02) and float(mass[4]) < 0.01


def test_glow_rejects_a_table_and_real_nvp_takes_one_column():
    with pytest.raises(ValueError, match="made: Glow needs images"):
        glow.Glow().build(spec_of((6,), levels=None))
    x = torch.rand(90, 1)
    y = torch.arange(90) % 3
    model = build_model(real_nvp.RealNVP, steps=20)
    model.fit(TrainingData(spec_of((1,), levels=None), x, y, x, y), Trainer())
    ticks = torch.linspace(-10, 10, 20_001)[:, None]
    assert float(predict_batched(model, "log_prob", ticks).exp().sum() * 1e-3) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("levels", [None, 17])
@of_both
def test_few_examples_and_constant_pixels_give_finite_densities(name, levels):
    if levels is None and name == "glow":
        pytest.skip("Glow takes no tables")
    shape = (6,) if levels is None else (1, 4, 4)
    x = torch.zeros(3, *shape)
    y = torch.arange(3)
    model = build_model(FLOWS[name], steps=10)
    model.fit(TrainingData(spec_of(shape, levels), x, y, x, y), Trainer())
    assert predict_batched(model, "log_joint", x).isfinite().all()
