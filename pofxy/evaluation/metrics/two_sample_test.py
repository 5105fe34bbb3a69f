"""Two-sample test: how often a classifier tells samples from test images, on items that it has not seen.

    1/2n sum_i [c(a_i) is right],      c a small neural network on features, trained on the other half

0.5: it cannot tell. A network of one hidden layer, the same for every model, sees standardised features and, fainter, their
squares, so that it need not find out what a variance is. It learns on one half of both sides and is asked about the other, then
the other way round. Source: D. Lopez-Paz, M. Oquab, "Revisiting classifier two-sample tests", ICLR 2017. Traps: 0.5 says that
this network on these features found nothing, not that there is nothing; with more images it finds more; one mark that all
samples share, were it invisible, is enough for 1.
"""

import numpy as np

HIGHER_IS_BETTER = False
UNIT = "accuracy"
LOWEST = 0.0
HIGHEST = 1.0
# It trains a network: of samples that a reference draws several times it is asked once.
TRAINS = True
HIDDEN = 64
STEPS = 100
LEARNING_RATE = 1e-2
WEIGHT_DECAY = 1.0
# The weight of squares: at 1 they drown a shift of the means.
SQUARES = 0.3


def two_sample_test(sample_features, test_features):
    """1 for each item that is told right, else 0, samples first, (n + N,); features (n, Z) and (N, Z)."""
    rng = np.random.default_rng(0)
    x = np.concatenate([sample_features, test_features]).astype(np.float32)
    made = np.repeat([1, 0], [len(sample_features), len(test_features)])
    half = np.concatenate([rng.permutation(len(side)) % 2 for side in (sample_features, test_features)])
    right = np.zeros(len(x))
    for fold in (0, 1):
        asked = half == fold
        right[asked] = _says_made(x[~asked], made[~asked], x[asked]) == made[asked]
    return right


def _says_made(x, made, asked):
    import torch
    from torch.nn import functional as F

    mean, deviation = x.mean(0), x.std(0)
    deviation[deviation < 1e-6 * (1 + np.abs(mean))] = 1  # a feature that never changes
    x, asked = (torch.from_numpy((rows - mean) / deviation) for rows in (x, asked))
    x, asked = (torch.cat([rows, SQUARES * (rows**2 - 1)], 1) for rows in (x, asked))  # (B, Z) -> (B, 2 Z)
    made = torch.from_numpy(made).float()
    generator = torch.Generator().manual_seed(0)
    inputs = x.shape[1]
    weights = [torch.randn(inputs, HIDDEN, generator=generator) * (2 / inputs) ** 0.5, torch.zeros(HIDDEN)]
    weights += [torch.randn(HIDDEN, 1, generator=generator) * HIDDEN**-0.5, torch.zeros(1)]
    weights = [weight.requires_grad_() for weight in weights]

    def logit(rows):
        hidden = F.relu(rows @ weights[0] + weights[1])  # (B, 2 Z) -> (B, HIDDEN)
        return (hidden @ weights[2] + weights[3])[:, 0]

    # AdamW, written out: torch's own imports torch's compiler, which takes longer than all of this.
    means, squares = ([torch.zeros_like(weight) for weight in weights] for _ in range(2))
    for step in range(1, STEPS + 1):
        with torch.enable_grad():
            slopes = torch.autograd.grad(F.binary_cross_entropy_with_logits(logit(x), made), weights)
        with torch.no_grad():
            for weight, slope, mean, square in zip(weights, slopes, means, squares):
                mean.lerp_(slope, 0.1)
                square.lerp_(slope**2, 0.001)
                move = mean / (1 - 0.9**step) / ((square / (1 - 0.999**step)).sqrt() + 1e-8)
                weight.sub_(LEARNING_RATE * (move + WEIGHT_DECAY * weight))
    return (logit(asked) > 0).numpy()
