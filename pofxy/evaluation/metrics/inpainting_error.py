"""Inpainting error: how far what a model puts in place of hidden pixels lies from what was there.

    1/3 sum_m 1/|hidden_m| sum_(i in hidden_m) (f_i(x) - x_i)^2,     m: lower half, centre, half the pixels at random

Source of the task: D. J. Rezende, S. Mohamed, D. Wierstra, "Stochastic backpropagation and approximate inference in deep
generative models", ICML 2014. Trap: the best answer to a squared error is the mean of all that could be there; a model that draws
one sharp filling has up to twice the error of one that blurs them. Read it beside inpainting_labels.
"""

HIGHER_IS_BETTER = False
UNIT = "squared intensity"
LOWEST = 0.0


def inpainting_error(inpainting):
    """Mean over the masks for each image, (N,); inpainting (N, masks, 1), squared errors over the hidden pixels."""
    return inpainting.mean((1, 2))
