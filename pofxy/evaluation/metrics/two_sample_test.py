"""Classifier two-sample test: the accuracy of a classifier that separates samples from test images, on held-out images.

    1/2n sum_i [c(a_i) is right],      c a small neural network on features, trained on the other half

At 0.5 the classifier cannot separate them. It is a network of one hidden layer, the same for every model. Its inputs are the
standardized features and their squares with a smaller weight, so that it need not learn what a variance is. It is trained on
one half of both sides and tested on the other half, then the other way round.

Source: D. Lopez-Paz, M. Oquab, "Revisiting classifier two-sample tests", ICLR 2017. https://arxiv.org/abs/1610.06545

Traps: 0.5 means that this network on these features found no difference, not that there is none. With more images it finds
more. A single trace that all samples share, even an invisible one, is enough for 1.
"""

import numpy as np

HIGHER_IS_BETTER = False
UNIT = "accuracy"
FEWEST_ROWS = 2
LOWEST = 0.0
HIGHEST = 1.0
# It trains a network, so it is computed once for a baseline whose samples are drawn several times.
TRAINS = True
HIDDEN = 64
STEPS = 100
LEARNING_RATE = 1e-2
WEIGHT_DECAY = 1.0
# Weight of the squares: at 1 they hide a shift of the means.
SQUARES = 0.3


def two_sample_test(sample_features: np.ndarray, test_features: np.ndarray) -> np.ndarray:
    """Whether each sample and each test image is classified correctly.

    Args:
        sample_features: features of samples, (n, Z).
        test_features: features of test images, (N, Z).

    Returns:
        1.0 where the classifier is right, else 0.0, samples first, (n + N,).
    """
    rng = np.random.default_rng(0)
    x = np.concatenate([sample_features, test_features]).astype(np.float32)
    is_sample = np.repeat([1, 0], [len(sample_features), len(test_features)])
    half = np.concatenate([rng.permutation(len(side)) % 2 for side in (sample_features, test_features)])
    correct = np.zeros(len(x))
    for fold in (0, 1):
        held_out = half == fold
        correct[held_out] = _fit_predict(x[~held_out], is_sample[~held_out], x[held_out]) == is_sample[held_out]
    return correct


def _fit_predict(x: np.ndarray, is_sample: np.ndarray, x_test: np.ndarray) -> np.ndarray:
    """Predictions (M,) bool for x_test (M, Z) of a network trained on x (B, Z) and is_sample (B,)."""
    import torch
    from torch.nn import functional as F

    # Single precision would lose the mean of features far from 0.
    mean = x.mean(0, dtype=float)
    std = x.std(0, dtype=float)
    std[std < 1e-6 * (1 + np.abs(mean))] = 1  # a constant feature
    standardized = [torch.from_numpy(((rows - mean) / std).astype(np.float32)) for rows in (x, x_test)]
    inputs, test_inputs = (torch.cat([z, SQUARES * (z**2 - 1)], 1) for z in standardized)  # (B, Z) -> (B, 2 Z)
    target = torch.from_numpy(is_sample).float()
    generator = torch.Generator().manual_seed(0)
    size = inputs.shape[1]
    weights = [torch.randn(size, HIDDEN, generator=generator) * (2 / size) ** 0.5, torch.zeros(HIDDEN)]
    weights += [torch.randn(HIDDEN, 1, generator=generator) * HIDDEN**-0.5, torch.zeros(1)]
    weights = [weight.requires_grad_() for weight in weights]

    def logit(rows: torch.Tensor) -> torch.Tensor:
        hidden = F.relu(rows @ weights[0] + weights[1])  # (B, 2 Z) -> (B, HIDDEN)
        return (hidden @ weights[2] + weights[3])[:, 0]

    # AdamW written out: torch's own imports torch's compiler, which takes longer than the whole test.
    first_moments = [torch.zeros_like(weight) for weight in weights]
    second_moments = [torch.zeros_like(weight) for weight in weights]
    for step in range(1, STEPS + 1):
        with torch.enable_grad():
            gradients = torch.autograd.grad(F.binary_cross_entropy_with_logits(logit(inputs), target), weights)
        with torch.no_grad():
            for weight, gradient, first, second in zip(weights, gradients, first_moments, second_moments):
                first.lerp_(gradient, 0.1)
                second.lerp_(gradient**2, 0.001)
                update = first / (1 - 0.9**step) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
                weight.sub_(LEARNING_RATE * (update + WEIGHT_DECAY * weight))
    return (logit(test_inputs) > 0).numpy()
