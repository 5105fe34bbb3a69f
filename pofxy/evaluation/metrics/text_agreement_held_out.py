"""Text agreement on held-out wordings: the same share where the caption is prompt_agreement as none was that the model was trained on.

    1/N sum_n [argmax_k p(k | s_n) = y_n],      s_n ~ model(x | a caption of y_n of a held-out wording)

What is lost against `text_agreement` is what the model knew of its captions by heart, rather than by their words. Source: A.
Ramesh et al., "Zero-shot text-to-image generation", ICML 2021, asked of captions never seen; the measure: K. Shmelkov, C. Schmid,
K. Alahari, ECCV 2018. Trap: the name of the class is a known word in every one of them, and a model that looks for it and
ignores the rest gets all of it; this is no measure of understanding.
"""

HIGHER_IS_BETTER = True
UNIT = "share"
LOWEST = 0.0
HIGHEST = 1.0


def text_agreement_held_out(prompt_agreement):
    """1 where the label is seen in the image of a held-out wording, else 0, (N,); prompt_agreement (N, 2, 1) bool, held-out ones second."""
    return prompt_agreement[:, 1, 0].astype(float)
