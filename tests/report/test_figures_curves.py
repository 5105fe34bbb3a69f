"""The figures of curves, and the visualizations of models: what they show, and that they work where data is missing."""

import dataclasses
import json
import shutil
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from made_study import EVIL, MODELS, make_study
from page import Page
from pofxy.report.charts.axes import axes
from pofxy.report.charts.curves import mean_curves
from pofxy.report.charts.heatmap import heatmap
from pofxy.report.charts.line_labels import LineEnd, label_ends
from pofxy.report.figures.adversarial import adversarial
from pofxy.report.figures.learning_curves import learning_curves
from pofxy.report.figures.missing_pixels import missing_pixels
from pofxy.report.figures.robustness import robustness
from pofxy.report.figures.visualizations import visualizations
from pofxy.report.render import draw_figure, draw_figures
from pofxy.report.study import Study

CURVES = [learning_curves, robustness, missing_pixels, adversarial]
FIGURES = [visualizations, *CURVES]
CLASSIFIERS = [model for model, (_, capabilities, _) in MODELS.items() if "predict" in capabilities.split()]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    return Study.read(folder, make_study(folder, bad=False))


def without(study: Study, **values) -> Study:
    """The study without the rows of curves.csv that have all these values."""
    gone = np.logical_and.reduce([study.curves[name] == value for name, value in values.items()])
    return dataclasses.replace(study, curves=study.curves[~gone])


def has_table(page: Page, label: str) -> bool:
    return any(attributes.get("aria-label") == label for attributes in page.having("role"))


@pytest.mark.slow
@pytest.mark.parametrize("figure", FIGURES)
def test_figure_is_valid_markup_with_labels_for_its_charts(study, figure):
    page = Page(draw_figure(figure, study))
    assert page.unbalanced == []
    assert page.open == []
    assert all(attributes["aria-label"] for attributes in page.having("viewbox"))
    assert all(attributes["alt"] for tag, attributes in page.elements if tag == "img")
    for model in CLASSIFIERS:
        assert model in page.text


@pytest.mark.parametrize("figure", CURVES)
def test_no_curve_no_figure(study, figure):
    name = figure.__name__.removesuffix("s") if figure is learning_curves else figure.__name__
    assert figure(without(study, curve=name), "digits") is None


def test_no_picture_no_figure(tmp_path):
    config = make_study(tmp_path, bad=False)
    for path in tmp_path.glob("runs/*/*/*/pictures"):
        shutil.rmtree(path)
    assert visualizations(Study.read(tmp_path, config), "digits") is None


def test_the_caption_of_a_visualization_is_escaped(tmp_path):
    config = make_study(tmp_path, bad=False, seeds=(3, 4))
    (tmp_path / "runs/digits/lenet/seed3/evaluate.json").write_text(json.dumps({"learned": EVIL}))
    (tmp_path / "runs/digits/linear_svm/seed3/evaluate.json").unlink()
    markup = visualizations(Study.read(tmp_path, config), "digits")
    assert "<script" not in markup
    assert EVIL in Page(markup).text
    assert "what <it> learned" in Page(markup).text
    assert "None" not in Page(markup).text


def curves(accuracies: dict[str, list[list[float]]], sizes: list[float]) -> pd.DataFrame:
    """Rows of curves.csv: accuracies of a model, (draws, sizes); one draw may be longer."""
    family = {model: MODELS.get(model, ("generative",))[0] for model in accuracies}
    rows = [
        ("digits", model, family[model], 0, "learning_curve", "", size, draw, value, np.nan, np.nan, 360)
        for model, draws in accuracies.items()
        for draw, values in enumerate(draws)
        for size, value in zip(sizes, values)
    ]
    names = ["dataset", "model", "family", "seed", "curve", "condition", "at", "draw", "value", "ci_low", "ci_high", "n"]
    return pd.DataFrame(rows, columns=names)


def test_the_crossover_of_a_pair_is_described(study):
    given = {"gaussian_naive_bayes": [[0.7, 0.7, 0.7]] * 2, "logistic_regression": [[0.5, 0.6, 0.8]] * 2}
    page = Page(learning_curves(dataclasses.replace(study, curves=curves(given, [1, 10, 100])), "digits"))
    sentence = "gaussian_naive_bayes against logistic_regression: crossover at n = 32 per class (32 to 32); 2 draws."
    assert sentence in page.text
    assert any(sentence[:60] in attributes.get("aria-label", "") for attributes in page.having("viewbox"))


def test_the_whole_split_counts_for_every_draw(study):
    """Only the first draw has the whole split; the other draws are compared at it as well."""
    given = {
        "gaussian_naive_bayes": [[0.7, 0.7, 0.7], [0.7, 0.7]],
        "logistic_regression": [[0.5, 0.6, 0.8], [0.5, 0.6], [0.4, 0.4]],
    }
    text = Page(learning_curves(dataclasses.replace(study, curves=curves(given, [1, 10, 100])), "digits")).text
    assert "crossover at n = 32 per class (32 to 32); 2 draws." in text
    assert "all" in text.split()


def test_variants_are_paired_with_the_counterpart_of_their_model(study):
    given = {name: [[0.7, 0.7]] for name in ("smooth_bayes", "vae", "logistic_regression", "lenet")}
    config = study.config | {"settings": {"smooth_bayes": {"of": "gaussian_naive_bayes", "smoothing": 0.1}}}
    text = Page(learning_curves(dataclasses.replace(study, config=config, curves=curves(given, [1, 10])), "digits")).text
    assert text.count(" against ") == 1
    assert "smooth_bayes against logistic_regression: no crossover, as they do not differ at any size; 1 draw." in text


@pytest.mark.parametrize("counterpart", [[[np.nan, np.nan]], None])
def test_a_pair_that_shares_no_draw_has_no_panel(study, counterpart):
    given = {"gaussian_naive_bayes": [[0.7, 0.8]]} | ({"logistic_regression": counterpart} if counterpart else {})
    text = Page(learning_curves(dataclasses.replace(study, curves=curves(given, [1, 10])), "digits")).text
    assert "gaussian_naive_bayes" in text
    assert " against " not in text


@pytest.mark.slow
def test_robustness_shows_the_share_of_clean_accuracy_that_is_kept(study):
    text = Page(robustness(study, "digits")).text.replace("_ ", "_")  # a name may break after each underscore
    rows = study.curves[study.curves["curve"] == "robustness"]
    kept = {}
    for model in CLASSIFIERS:
        tested = rows[rows["model"] == model]
        clean = tested[tested["at"] == 0]["value"].mean()
        corrupted = tested[tested["at"] > 0]
        shares = [corrupted[corrupted["condition"] == name]["value"].mean() / clean for name in corrupted["condition"].unique()]
        assert f"{model} {clean:.3f} " + " ".join(f"{share:.3f}" for share in [*shares, np.mean(shares)]) in text
        kept[model] = np.mean(shares)
    places = [text.index(f"{model} 0.") for model in sorted(kept, key=kept.get, reverse=True)]
    assert places == sorted(places)


def test_missing_pixels_lists_exact_marginals_and_imputation(study):
    text = Page(missing_pixels(study, "digits")).text
    assert "Exact marginal (solid): gaussian_naive_bayes." in text
    assert "Mean imputation (dashed): logistic_regression, linear_svm, lenet." in text


def test_adversarial_lists_models_without_a_gradient(study):
    less = without(without(study, curve="adversarial", model="linear_svm"), curve="adversarial", model="lenet")
    runs = less.runs.copy()
    runs.loc[runs["model"] == "lenet", "capabilities"] += " decision_function"
    text = Page(adversarial(dataclasses.replace(less, runs=runs), "digits")).text
    assert "Not attacked, as they have no gradient with respect to the pixels: linear_svm. Not measured: lenet." in text
    assert "lenet" not in text.replace("Not measured: lenet.", "")


def test_adversarial_orders_by_the_stronger_attack(study):
    rows = study.curves[
        (study.curves["curve"] == "adversarial") & (study.curves["condition"] == "PGD") & (study.curves["at"] > 0)
    ]
    text = Page(adversarial(study, "digits")).text
    places = [text.index(model) for model in rows.groupby("model")["value"].mean().sort_values(ascending=False).index]
    assert places == sorted(places)


@pytest.mark.slow
@pytest.mark.parametrize(
    "gone",
    [
        {"curve": "learning_curve", "at": 125.7},
        {"curve": "learning_curve", "model": "logistic_regression", "draw": 0},
        {"curve": "robustness", "model": "lenet", "condition": "blur"},
        {"curve": "robustness", "at": 0.0},
        {"curve": "robustness", "model": "lenet", "at": 5.0},
        {"curve": "missing_pixels", "model": "gaussian_naive_bayes"},
        {"curve": "missing_pixels", "model": "lenet", "at": 0.9},
        {"curve": "adversarial", "condition": "PGD"},
        {"curve": "adversarial", "condition": "FGSM", "model": "lenet"},
    ],
    ids=lambda gone: ", ".join(map(str, gone.values())),
)
def test_what_is_missing_is_left_out(study, gone):
    less = without(study, **gone)
    assert len(less.curves) < len(study.curves)
    figure = next(f for f in CURVES if f.__name__.startswith(gone["curve"]))
    assert Page(figure(less, "digits")).unbalanced == []


@pytest.mark.slow
def test_one_place_is_a_curve_as_well(study):
    for place in (0.0, 1.0):
        for figure in CURVES:
            few = dataclasses.replace(study, curves=study.curves[study.curves["at"] == place])
            markup = figure(few, "digits")
            assert markup is None or Page(markup).unbalanced == []


@pytest.mark.slow
def test_several_seeds_and_data_sets_are_drawn(tmp_path):
    study = Study.read(tmp_path, make_study(tmp_path, bad=True, seeds=(0, 1), datasets=("digits", "mnist")))
    shown = {figure["id"]: figure for figure in draw_figures(study)}
    for figure in FIGURES:
        assert shown[figure.__name__]["fault"] == ""
        assert "<h4>mnist</h4>" in shown[figure.__name__]["markup"]


def test_curve_is_the_mean_over_the_seeds(study):
    twice = pd.concat([study.curves, study.curves.assign(seed=1, value=study.curves["value"] + 0.1)])
    one, two = (mean_curves(s, "digits", "robustness") for s in (study, dataclasses.replace(study, curves=twice)))
    assert len(one) == len(two)
    assert two["value"].to_numpy() == pytest.approx(one["value"].to_numpy() + 0.05)


@pytest.mark.parametrize("ends", [[0.5] * 20, [0.0] * 10, [1.0] * 10, [0.1, 0.5, 0.52, 0.9], [0.5]])
def test_names_at_the_ends_do_not_overlap(ends):
    with axes(5, 3.5) as (figure, plot):
        plot.plot([0, 1], [0, 1])
        plot.set_ylim(0, 1)
        label_ends(plot, [LineEnd(1, y, f"model_{i}", "generative", i == 0) for i, y in enumerate(ends)])
        figure.canvas.draw()
        # The text alone: an annotation's own extent has its line in it.
        boxes = sorted((Text.get_window_extent(text) for text in plot.texts), key=lambda box: box.y0)
        assert all(low.y1 <= high.y0 for low, high in pairwise(boxes))
        assert all(box.y0 >= 0 and box.y1 <= figure.bbox.height and box.x1 <= figure.bbox.width + 1 for box in boxes)


def test_names_stand_where_their_lines_end_if_they_can():
    with axes(5, 3.5) as (_, plot):
        plot.set_ylim(0, 1)
        label_ends(plot, [LineEnd(1, y, f"{y}", "generative") for y in (0.9, 0.1, 0.5)])
        assert [text.get_position()[1] for text in plot.texts] == pytest.approx([0.1, 0.5, 0.9])


def test_heatmap_marks_the_best_and_what_is_missing():
    values = pd.DataFrame({"clean": [0.9, 0.8], "<noise>": [0.5, 0.5], "blur": [np.nan, 0.4]}, index=["lenet", "vae"])
    markup = heatmap(values, {"lenet": "discriminative"}, "kept", "what is kept", uncolored=("clean",))
    page = Page(markup)
    assert has_table(page, "what is kept")
    assert page.unbalanced == []
    assert "lenet 0.900 0.500 – vae 0.800 0.500 0.400" in page.text
    assert "<noise>" in page.text
    cells = [attributes for tag, attributes in page.elements if tag == "td"]
    assert [cell["class"] for cell in cells] == ["number best", "number best", "missing", "number", "number best", "number best"]
    shades = [cell["style"].rpartition("#009e73")[2] for cell in cells if "#" in cell["style"]]
    assert shades == ["00", "bf", "00", "bf", "00"]
