"""Prompts: whether the data set's feature net sees in an image what the prompt asked for, by how the prompt was worded.

    right_n(w) = [argmax_k p(k | s_n) = y_n],      s_n ~ model(x | caption_w(y_n)),      w: seen in training, held out

For each label of the test images one image is drawn from a wording that the model was trained on, and one from a wording that it
never saw. A model that knows captions by heart is right on the first alone. Source of the idea, text to image on wordings that
were not seen: A. Ramesh et al., "Zero-shot text-to-image generation", ICML 2021; judged as in GAN-test: K. Shmelkov, C. Schmid,
K. Alahari, ECCV 2018.
"""

import torch

from pofxy.base.prediction import inference, predict_batched
from pofxy.evaluation.quantities import ProbeResult, generator

CURVE = "text_agreement"
UNIT = "share"
NEEDS = ("sample_text",)
IMAGES_ONLY = True
CONDITIONS = ("seen wording", "held-out wording")


def prompt_agreement(model, y, judge):
    """Whether the judge reads label y (N,) in the image of its prompt, (N, 2, 1) bool."""
    random, right = generator(), []
    for kind, _ in enumerate(CONDITIONS):
        wordings = [model.captions(label)[kind] for label in y.tolist()]
        chosen = torch.rand(len(y), generator=random).tolist()
        texts = [captions[int(u * len(captions))] for captions, u in zip(wordings, chosen, strict=True)]
        with inference(model):
            x = model.sample_text(texts).cpu()
        right.append(predict_batched(judge, "predict_proba", x).argmax(1) == y)
    return ProbeResult(torch.stack(right, 1)[:, :, None], CONDITIONS, (0.0,))
