"""Distance of decoded noise: how far images lie from test images that a decoder makes of normal noise in place of codes.

    Fréchet distance of the features of g(z), z ~ N(0, I), and of test images,     g the decoder

A code that was trained for reconstruction alone may lie anywhere: nothing makes N(0, I) its law, and what lies between codes is
no image. A variational model is trained so that it is one. Source: D. P. Kingma, M. Welling, "Auto-encoding variational Bayes",
ICLR 2014 (the law of the code); the distance is `frechet_distance`. Traps: of a variational model these are the images that its
decoder holds for the mean, without the noise of single pixels that its samples have, so it is not its distance as a sampler.
"""

from pofxy.evaluation.frechet import frechet, frechet_error, moments

HIGHER_IS_BETTER = False
UNIT = "squared feature distance"
LOWEST = 0.0


def decoded_noise_distance(decoded_features, test_features):
    """Of (n, Z) and (N, Z) features, and its standard error."""
    return frechet(moments(decoded_features), moments(test_features)), frechet_error(decoded_features, test_features)
