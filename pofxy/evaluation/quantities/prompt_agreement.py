"""Prompt agreement: whether the feature net recognizes what the prompt asked for, by how the prompt was worded.

    right_n(w) = [argmax_k p(k | s_n) = y_n],      s_n ~ model(x | caption_w(y_n)),      w: seen in training, held out

For each label of the test images one image is generated from a wording that the model was trained on, and one from a wording that
was held out. A model that memorizes captions is right on the first alone.

Sources: text to image on wordings that were not seen: A. Ramesh et al., "Zero-shot text-to-image generation", ICML 2021,
https://arxiv.org/abs/2102.12092; the evaluation is the GAN-test of K. Shmelkov, C. Schmid, K. Alahari, ECCV 2018,
https://arxiv.org/abs/1807.09499.
"""

import torch
from torch import Tensor

from pofxy.base.capabilities import SupportsPredictProba, SupportsSampleText
from pofxy.base.prediction import inference, predict_batched
from pofxy.evaluation.quantity import ProbeResult, fixed_generator, quantity

CONDITIONS = ("seen wording", "held-out wording")


@quantity(rows="test", images_only=True, curve="text_agreement", unit="share")
def prompt_agreement(model: SupportsSampleText, y_probe: Tensor, feature_net: SupportsPredictProba) -> ProbeResult:
    """Whether the feature net recognizes the label y_probe (P,) in the image of its prompt, (P, 2, 1) bool."""
    random = fixed_generator()
    right = []
    for kind, _ in enumerate(CONDITIONS):
        wordings = [model.captions(label)[kind] for label in y_probe.tolist()]
        chosen = torch.rand(len(y_probe), generator=random).tolist()
        texts = [captions[int(u * len(captions))] for captions, u in zip(wordings, chosen, strict=True)]
        with inference(model):
            x = model.sample_text(texts).cpu()
        right.append(predict_batched(feature_net, "predict_proba", x).argmax(1) == y_probe)
    return ProbeResult(torch.stack(right, 1)[:, :, None], CONDITIONS, (0.0,))
