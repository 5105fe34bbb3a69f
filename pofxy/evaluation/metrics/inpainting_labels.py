"""Labels after inpainting: how often the feature net still reads the right label once a model has filled in what was hidden.

    1/3 sum_m [argmax_k p(k | f_m(x)) = y],     m: lower half, centre, half the pixels at random

Source of the idea, a fixed classifier that reads what was filled in: R. Zhang, P. Isola, A. A. Efros, "Colorful image
colorization", ECCV 2016. Traps: the feature net errs on whole images, too, and was never shown filled ones; and a model that
draws plain images of the commonest look of a class may do better than a faithful one.
"""

HIGHER_IS_BETTER = True
UNIT = "accuracy"
LOWEST = 0.0
HIGHEST = 1.0


def inpainting_labels(inpainting_label):
    """Share of the masks under which the label is read, for each image, (N,); inpainting_label (N, masks, 1) bool."""
    return inpainting_label.mean((1, 2))
