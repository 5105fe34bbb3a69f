"""Text agreement: the share of images drawn for a caption that the feature net takes for the class that the caption names.

    1/N sum_n [argmax_k p(k | s_n) = y_n],      s_n ~ model(x | a caption of y_n of a wording that it was trained on)

For models of text to image alone. Source: label agreement (K. Shmelkov, C. Schmid, K. Alahari, "How good is my GAN?", ECCV 2018)
of the captions of A. Ramesh et al., "Zero-shot text-to-image generation", ICML 2021. Traps: as of label agreement, the feature
net's own mistakes count against the model, and one clear image per class gets all of it; and a model that re-ranks its draws by a
classifier is judged by another classifier of the same data.
"""

HIGHER_IS_BETTER = True
UNIT = "share"
LOWEST = 0.0
HIGHEST = 1.0


def text_agreement(prompt_agreement):
    """1 where the label is seen in the image of a known wording, else 0, (N,); prompt_agreement (N, 2, 1) bool, known wordings first."""
    return prompt_agreement[:, 0, 0].astype(float)
