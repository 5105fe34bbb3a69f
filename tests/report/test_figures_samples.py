"""The figures of samples, densities and latents: what they show, and that they work where a part of the results is missing."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest

from made_study import BASELINES, MODELS, make_study
from page import Page
from pofxy.report.charts.scales import scale_for
from pofxy.report.figures.accuracy import accuracy
from pofxy.report.figures.conditional_samples import conditional_samples
from pofxy.report.figures.decoded_noise import decoded_noise
from pofxy.report.figures.denoising import denoising
from pofxy.report.figures.fidelity import METRICS, fidelity
from pofxy.report.figures.inpainting import inpainting
from pofxy.report.figures.known_distribution import known_distribution
from pofxy.report.figures.latents import latents
from pofxy.report.figures.likelihood import likelihood
from pofxy.report.figures.memorization import memorization
from pofxy.report.figures.ood_detection import ood_detection
from pofxy.report.figures.sample_grids import sample_grids
from pofxy.report.figures.text_to_image import text_to_image
from pofxy.report.figures.training_diagnostics import training_diagnostics
from pofxy.report.figures.training_samples import training_samples
from pofxy.report.render import draw_figure
from pofxy.report.study import Study
from pofxy.report.wording import metric_name

FIGURES = [
    accuracy,
    conditional_samples,
    denoising,
    fidelity,
    inpainting,
    known_distribution,
    latents,
    likelihood,
    memorization,
    ood_detection,
    sample_grids,
]
ALARM = "color:var(--alarm)"


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    folder = tmp_path_factory.mktemp("results")
    return Study.read(folder, make_study(folder, bad=False, datasets=("digits", "gaussians")))


def with_scores(study: Study, values: dict[tuple[str, str], float], half: float | None = None) -> Study:
    """The study with other test scores: (model, metric) -> value, and an interval of this half-width, 0 where there is none."""
    scores = study.scores.copy()
    for (model, metric), value in values.items():
        chosen = (scores["model"] == model) & (scores["metric"] == metric) & (scores["split"] == "test")
        assert chosen.any()
        scores.loc[chosen, ["value", "ci_low", "ci_high"]] = value, value - (half or 0), value + (half or 0)
    return dataclasses.replace(study, scores=scores)


def with_curves(study: Study, value, **which) -> Study:
    """The study with other values in the rows of curves.csv that have all these values."""
    curves = study.curves.copy()
    chosen = np.logical_and.reduce([curves[name] == wanted for name, wanted in which.items()])
    assert chosen.any()
    curves.loc[chosen, ["value", "ci_low", "ci_high"]] = value
    return dataclasses.replace(study, curves=curves)


def labels(markup: str) -> list[str]:
    return [attributes["aria-label"] for attributes in Page(markup).having("viewbox")]


def names(markup: str, label: str) -> list[str]:
    """The names along the chart of this label, from its top to its bottom."""
    drawing = re.search(rf'aria-label="{re.escape(label)}">(.*?)</svg>', markup, re.DOTALL)[1]
    # A text is placed by the translation of its group, or by its own y.
    moved = re.findall(r"translate\([-\d.]+ ([-\d.]+)\)[^>]*>([^<]+)</text>", drawing)
    placed = re.findall(r'<text [^>]*y="([-\d.]+)"[^>]*>([^<]+)</text>', drawing)
    heights = {text: float(y) for y, text in (*moved, *placed)}
    return [name for name in sorted(heights, key=heights.get) if name in MODELS or name == "oracle"]


def rows(markup: str) -> dict[str, list[str]]:
    """The cells of the tables' rows, as text, by the text of the row's header."""
    table_rows = re.findall(r'<tr[^>]*><th scope="row".*?</tr>', markup, re.DOTALL)
    texts = [[Page(cell).text for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)] for row in table_rows]
    return {header.replace(" ", ""): cells for header, *cells in texts}


def cell(markup: str, model: str, column: int) -> str:
    """The markup of a cell of the row of a model, the first after its name being 0."""
    row = next(row for row in re.findall(r"<tr.*?</tr>", markup, re.DOTALL) if model in row.replace("<wbr>", ""))
    return re.findall(r"<td.*?</td>", row, re.DOTALL)[column]


@pytest.mark.slow
@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.__name__)
def test_figures_are_valid_markup_with_labels_for_their_charts(study, figure):
    page = Page(draw_figure(figure, study))
    assert page.unbalanced == page.open == []
    assert all(attributes["aria-label"] for attributes in page.having("viewbox"))
    assert all(attributes["alt"] for tag, attributes in page.elements if tag == "img")


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.__name__)
def test_nothing_yet_is_no_figure(tmp_path, figure):
    assert draw_figure(figure, Study.read(tmp_path, {})) is None


@pytest.mark.slow
@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.__name__)
def test_figures_work_without_files(tmp_path, figure):
    """With tables alone, as they may come from another machine."""
    config = make_study(tmp_path, datasets=("digits", "gaussians"))
    for name in ("runs", "data"):
        shutil.rmtree(tmp_path / name)
    markup = draw_figure(figure, Study.read(tmp_path, config))
    assert (markup is None) == (figure is sample_grids)
    if markup:
        assert Page(markup).unbalanced == []


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.__name__)
def test_numbers_may_be_missing(study, figure):
    nothing = dict.fromkeys(("value", "ci_low", "ci_high"), np.nan)
    some = [study.scores.iloc[::2], study.scores.iloc[1::2].assign(**nothing)]
    bare = study.curves.assign(ci_low=np.nan, ci_high=np.nan)
    markup = draw_figure(figure, dataclasses.replace(study, scores=pd.concat(some).sort_index(), curves=bare))
    assert markup is None or Page(markup).unbalanced == []


@pytest.mark.slow
def test_fidelity_has_a_panel_for_each_score_in_one_order(study):
    markup = fidelity(study, "digits")
    scores = study.scores[study.scores["dataset"] == "digits"]
    shown = [metric_name(metric) for metric in METRICS if metric in set(scores["metric"])]
    assert labels(markup) == [f"{name} on digits" for name in shown]
    assert len(shown) >= 15
    distance = scores[scores["metric"] == "frechet_distance_infinity"].set_index("model")["value"]
    families = {model: family for model, (family, *_) in MODELS.items()}
    best_first = sorted(distance.index, key=lambda model: (families[model] == "reference", distance[model]))
    own = [model for model in best_first if families[model] != "reference"]
    for name in shown:
        assert [model for model in names(markup, f"{name} on digits") if model in own] == own
    assert names(markup, f"{shown[0]} on digits") == best_first


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([3.0, 5.0, 6.0], "linear"),
        ([3.0, 5.0, 6.0, 220.0], "log"),
        ([-0.0006, 0.0004, 0.02, 0.9], "symlog"),
        ([0.0, 0.0], "linear"),
        ([2.0], "linear"),
    ],
)
def test_an_axis_separates_values_that_are_close_and_far_apart(values, scale):
    assert scale_for(pd.Series(values)) == scale


@pytest.mark.slow
def test_scores_below_zero_are_drawn(study):
    less = with_scores(study, {("vae", "kernel_distance"): -0.0006, ("dcgan", "kernel_distance"): 0.0}, 0.001)
    name = f"{metric_name('kernel_distance')} on digits"
    assert {"vae", "dcgan"} <= set(names(fidelity(less, "digits"), name))


def test_conditional_samples_are_those_of_models_with_labels(study):
    markup = conditional_samples(study, "digits")
    assert len(labels(markup)) == 3
    for label in labels(markup):
        assert set(names(markup, label)) == {"gaussian_naive_bayes", "conditional_gan", "real_train"}


def test_memorization_marks_suspicious_values(study):
    suspicious = with_scores(study, {("dcgan", "memorization_p_value"): 0.002, ("vae", "memorization_p_value"): 0.02})
    markup = memorization(suspicious, "digits")
    p = 1
    authentic = 2
    # Four models: 0.002 becomes 0.008, and 0.02 three times as much.
    assert rows(markup)["dcgan"][p] == "0.008"
    assert rows(markup)["vae"][p] == "0.060"
    assert ALARM in cell(markup, "dcgan", p) and ALARM in cell(markup, "dcgan", authentic)
    assert ALARM not in cell(markup, "vae", p)
    assert rows(markup)["copycat"][p] == "< 0.001"
    assert next(iter(rows(markup))) == "dcgan"
    families = [MODELS[model][0] for model in rows(markup)]
    assert families == sorted(families)


def test_nearest_images_are_shown_for_models_and_the_copycat(study):
    captions = re.findall(r"<figcaption>(\w+) ", memorization(study, "digits"))
    authenticity = study.scores[study.scores["metric"] == "authenticity"].set_index("model")["value"]
    others = sorted(("gaussian_naive_bayes", "vae", "conditional_gan"), key=authenticity.get)
    assert captions == ["dcgan", *others, "copycat"]


def test_likelihood_names_all_bounds_and_keeps_units_apart(study):
    scores = study.scores
    vae = scores[(scores["model"] == "vae") & (scores["metric"] == "bits_per_dim") & (scores["split"] == "test")]
    more = [vae.assign(estimator="ELBO", value=2.0), vae.assign(estimator="IWAE-512", value=1.8, n=100)]
    binary = {
        "metric": "nats_binarized_threshold",
        "unit": "nats (0.5-threshold)",
        "estimator": "AIS-10 x 20, reverse check, 0.5-threshold",
    }
    more.append(vae.assign(**binary, value=80.0, ci_low=79.0, ci_high=81.0))
    markup = draw_figure(likelihood, dataclasses.replace(study, scores=pd.concat([scores, *more], ignore_index=True)))
    assert "IWAE-32, ELBO, IWAE-512" in Page(markup).text
    assert len(labels(markup)) == 3
    text = Page(markup).text
    assert "AIS-10 x 20, reverse check" in text
    assert "check, 0.5" not in text, "the unit of the panel says it already"
    assert labels(markup)[0] == "Bits per dimension (bits/dim) on digits"
    assert labels(markup)[2] == "Log-density (nats) on gaussians"
    # The train split is no row of its own.
    assert names(markup, labels(markup)[0]) == ["vae", "gaussian_naive_bayes", "independent_pixels", "noise"]
    assert names(markup, labels(markup)[2])[0] == "gaussian_naive_bayes"


def truth(study: Study) -> dict[str, float]:
    """What audit.json says of the distribution of the gaussians."""
    return json.loads((study.results / "data/gaussians/audit.json").read_text())["known_distribution"]


def test_models_are_compared_with_a_known_distribution(study):
    markup = draw_figure(known_distribution, study)
    assert f"the best possible accuracy is {truth(study)['bayes_accuracy']:.3f}" in Page(markup).text
    assert "<h4>digits" not in markup
    panels = [label for label in labels(markup) if label.startswith("distance to the oracle")]
    assert [label.split(" in ")[1] for label in panels] == [
        "accuracy on gaussians",
        "log-loss on gaussians",
        "log-density on gaussians",
    ]
    assert names(markup, panels[0]) == ["logistic_regression", "gaussian_naive_bayes"]
    assert "test rows of gaussians by class" in labels(markup)


def test_the_entropy_of_images_is_shown_in_bits_per_dimension(tmp_path):
    study = Study.read(tmp_path, make_study(tmp_path, bad=False, datasets=("gaussians",)))
    spec = tmp_path / "data/gaussians/spec.json"
    entropy = truth(study)["entropy"]
    text = Page(known_distribution(study, "gaussians")).text
    assert f"the best expected log-density is −{entropy:.3f} nats" in text
    spec.write_text(json.dumps(json.loads(spec.read_text()) | {"shape": [1, 2, 2], "levels": 17}))
    text = Page(known_distribution(study, "gaussians")).text
    assert f"the best expected code length is {entropy / 4 / np.log(2):.3f} bits/dim" in text


def test_no_oracle_no_figure(study):
    scores = study.scores[study.scores["model"] != "oracle"]
    assert draw_figure(known_distribution, dataclasses.replace(study, scores=scores)) is None


def test_denoising_draws_each_baseline_once(study):
    text = Page(denoising(study, "digits")).text
    assert text.count("Gaussian filter") == text.count("mean image") == 1
    assert all(f" {model} " in text for model in ("vae", "autoencoder"))


def test_inpainting_marks_the_best_of_each_mask(study):
    better = with_curves(study, 0.03, model="gaussian_naive_bayes", curve="inpainting", condition="centre")
    better = with_curves(better, 0.01, model="independent_pixels", curve="inpainting", condition="centre")
    better = with_curves(better, 0.99, model="vae", curve="inpainting_labels", condition="centre")
    markup = inpainting(better, "digits")
    centre = 1
    labels_of_centre = 4
    assert rows(markup)["gaussian_naive_bayes"][centre] == "0.0300 0.0300 – 0.0300"
    assert "font-weight:700" in cell(markup, "gaussian_naive_bayes", centre)
    # A reference takes no part.
    assert "font-weight:700" not in cell(markup, "independent_pixels", centre)
    assert "font-weight:700" in cell(markup, "vae", labels_of_centre)
    assert list(rows(markup))[-1] == "independent_pixels"


def test_latents_are_compared_with_principal_components(study):
    changed = with_scores(study, {("vae", "latent_nmi"): 0.5, ("autoencoder", "latent_nmi"): 0.7})
    markup = latents(changed, "digits")
    nmi = 2
    assert rows(markup)["vae"][nmi] == f"0.500 PCA {BASELINES['latent_nmi']:.3f}"
    assert "font-weight:700" in cell(markup, "autoencoder", nmi)
    assert "font-weight:700" not in cell(markup, "vae", nmi)
    # The baseline of a score that is the mean of a curve is the mean of the components' curve.
    curves = changed.curves[(changed.curves["model"] == "vae") & (changed.curves["condition"] == "PCA, k-NN")]
    assert rows(markup)["vae"][1].endswith(f"PCA {curves['value'].mean():.3f}")
    assert markup.count('alt="map of latents') == 2


def test_latents_without_a_baseline(tmp_path):
    study = Study.read(tmp_path, make_study(tmp_path, bad=False))
    (study.folder("digits", "vae", 0) / "evaluate.json").write_text(json.dumps({}))
    (study.folder("digits", "autoencoder", 0) / "predictions/latent_map.npy").unlink()
    markup = latents(study, "digits")
    assert "PCA" not in rows(markup)["vae"][2]
    assert markup.count('alt="map of latents') == 1


def test_ood_images_that_a_density_prefers_are_named(study):
    sure = with_curves(study, 0.9, curve="ood_likelihood")
    assert "No density assigns a higher likelihood to a kind of OOD images" in Page(ood_detection(sure, "digits")).text
    fooled = with_curves(sure, 0.2, model="vae", curve="ood_likelihood", condition="inverted")
    fooled = with_curves(fooled, 0.3, model="noise", curve="ood_likelihood", condition="inverted")
    markup = ood_detection(fooled, "digits")
    assert "than to test images: vae (inverted)." in Page(markup).text
    assert "#d55e00" in cell(markup, "vae", 1)
    assert "#009e73" in cell(markup, "vae", 0)
    # A score that a model does not have is left white and described.
    assert rows(markup)["lenet"][0] == "not measured"


def test_samples_are_ordered_by_distance_and_references_stand_last(study):
    captions = re.findall(r"<figcaption>([\w ]+?) <small>", sample_grids(study, "digits"))
    assert captions[0] == "real test images"
    distance = study.scores[study.scores["metric"] == "frechet_distance_infinity"].set_index("model")["value"]
    references = [model for model, (family, *_) in MODELS.items() if family == "reference"]
    assert captions[1:] == [
        *sorted((model for model in distance.index if model not in references), key=distance.get),
        *sorted(references, key=distance.get),
    ]


def test_the_oracle_is_a_reference_among_accuracies(study):
    markup = draw_figure(accuracy, study)
    assert names(markup, "accuracy on gaussians") == ["logistic_regression", "gaussian_naive_bayes", "oracle"]


@pytest.mark.parametrize(
    ("figure", "models", "words"),
    [
        (training_samples, {"vae", "dcgan"}, "epochs 1, 20, 40"),
        (decoded_noise, {"vae"}, "decoded noise: vae"),
        (training_diagnostics, {"dcgan"}, "gradient norms in training dcgan"),
    ],
)
def test_training_and_decoded_noise_are_shown(study, figure, models, words):
    markup = str(draw_figure(figure, study))
    page = Page(markup)
    assert page.unbalanced == []
    assert page.open == []
    assert all(model in markup for model in models)
    assert words in markup
    nothing = dataclasses.replace(study, runs=study.runs.iloc[:0], scores=study.scores.iloc[:0])
    assert draw_figure(figure, nothing) is None


def test_shares_norms_and_terms_have_panels_of_their_own(study):
    labels = [attributes["aria-label"] for attributes in Page(training_diagnostics(study, "digits")).having("viewbox")]
    of_gan = [label for label in labels if "dcgan" in label]
    assert [label.split(" in training ")[0] for label in of_gan] == ["gradient norms", "shares"]


def test_prompts_are_shown_with_the_scores_of_both_wordings(study, tmp_path):
    shutil.copytree(study.results, tmp_path / "results")
    prompted = Study.read(tmp_path / "results", study.config)
    folder = prompted.folder("digits", "vae", prompted.first_seed("digits", "vae"))
    shutil.copy(folder / "pictures/reconstructions.png", folder / "pictures/prompts.png")
    rows = [[f"{wording} {k}" for k in range(10)] for wording in ("a drawn", "please draw")]
    (folder / "evaluate.json").write_text(json.dumps({"prompts": rows}))
    page = Page(text_to_image(prompted, "digits"))
    assert "rows as in “a drawn 3”, “please draw 3”" in page.text and page.unbalanced == []
    assert text_to_image(study, "digits") is None
