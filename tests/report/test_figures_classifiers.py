"""The figures of classifiers' predictions: what they show, and that they work where a part of the results is missing."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from markupsafe import Markup

from made_study import make_study
from page import Page
from pofxy.report.charts.layout import grid, stack
from pofxy.report.figures.class_recall import class_recall
from pofxy.report.figures.confusion_matrices import confusion_matrices
from pofxy.report.figures.ranks import ranks
from pofxy.report.figures.reliability import reliability
from pofxy.report.figures.significance import significance
from pofxy.report.render import draw_figure
from pofxy.report.significance import critical_difference
from pofxy.report.study import Study

FIGURES = [confusion_matrices, class_recall, reliability, significance, ranks]
CLASSIFIERS = ["gaussian_naive_bayes", "lenet", "linear_svm", "logistic_regression"]


@pytest.fixture
def study(tmp_path) -> Study:
    """Four classifiers; lenet makes eight mistakes, logistic_regression none, the other two the same fifty."""
    config = make_study(tmp_path, bad=False)
    truth = np.arange(100) % 10
    eight_mistakes = truth.copy()
    eight_mistakes[np.flatnonzero(truth == 8)[:5]] = 1
    eight_mistakes[np.flatnonzero(truth == 3)[:2]] = 5
    eight_mistakes[0] = 7
    fifty_mistakes = np.where(np.arange(100) < 50, (truth + 1) % 10, truth)
    for model, labels in zip(CLASSIFIERS, [fifty_mistakes, eight_mistakes, fifty_mistakes, truth]):
        replace_predictions(tmp_path, model, labels)
    return Study.read(tmp_path, config)


def replace_predictions(folder: Path, model: str, labels: np.ndarray) -> None:
    """Replaces a model's predictions on the test split; its probabilities, where it has any, are 0 and 1."""
    predictions = folder / f"runs/digits/{model}/seed0/predictions"
    np.save(predictions / "labels.npy", labels)
    if (predictions / "probabilities.npy").exists():
        np.save(predictions / "probabilities.npy", np.eye(10)[labels])


def rows(markup: str) -> dict[str, list[str]]:
    """The cells of a table's rows, as text, by the text of the row's header, in their order."""
    table_rows = re.findall(r'<tr[^>]*><th scope="row".*?</tr>', markup)
    texts = [[Page(cell).text for cell in re.findall(r"<t[hd].*?</t[hd]>", row)] for row in table_rows]
    return {header.replace(" ", ""): cells for header, *cells in texts}


def test_confusions_are_listed_in_words(study):
    text = Page(confusion_matrices(study, "digits")).text
    assert "8 taken for 1: 5 times 3 taken for 5: twice <b>nought</b> taken for 7: once" in text
    assert text.count("no mistake") == 1
    assert confusion_matrices(study, "digits").count("<svg") == 4


def test_confusions_begin_with_the_most_accurate(study):
    labels = re.findall(r'aria-label="confusion matrix of (\w+) on digits"', confusion_matrices(study, "digits"))
    assert labels[:2] == ["logistic_regression", "lenet"]


def test_class_names_are_escaped(study):
    for figure in (confusion_matrices, class_recall):
        assert "<b>nought" not in figure(study, "digits")
        assert "&lt;b&gt;noug" in figure(study, "digits")


def test_class_names_may_be_missing(study):
    (study.results / "data/digits/spec.json").unlink()
    assert "8 taken for 1: 5 times 3 taken for 5: twice 0 taken for 7: once" in Page(confusion_matrices(study, "digits")).text
    assert class_recall(study, "digits")


def test_recall_of_each_class(study):
    cells = rows(class_recall(study, "digits"))
    assert list(cells)[:2] == ["logistic_regression", "lenet"]
    assert cells["lenet"] == ["90.0", "100.0", "100.0", "80.0", *["100.0"] * 4, "50.0", "100.0", "92.0"]
    assert cells["linear_svm"] == ["50.0"] * 11


def test_the_weakest_class_alone_is_framed(study):
    # Only lenet has one: the others have the same recall for all classes.
    assert re.findall(r"<strong>(.*?)</strong>", class_recall(study, "digits")) == ["50.0"]


def test_calibration_error_and_models_without_probabilities(study):
    markup = reliability(study, "digits")
    assert re.findall(r"reliability of (\w+) on digits: expected calibration error ([\d.]+)", markup) == [
        ("logistic_regression", "0.000"),
        ("lenet", "0.080"),  # confidence 1, wrong eight times in a hundred
        ("gaussian_naive_bayes", "0.500"),
    ]
    assert "No probabilities, so no calibration: linear_svm." in Page(markup).text


def test_no_probabilities_no_calibration(study):
    for path in study.results.glob("runs/*/*/*/predictions/probabilities.npy"):
        path.unlink()
    assert reliability(study, "digits") is None


def test_pairs_that_differ_significantly(study):
    markup = significance(study, "digits")
    # Eight mistakes to none, p = 2 / 2^8, are significant even when doubled by Holm; the same mistakes are not.
    assert "5 of 6 pairs differ significantly, on 100 test images" in Page(markup).text
    cells = rows(markup)
    assert list(cells) == ["logistic_regression", "lenet", "linear_svm", "gaussian_naive_bayes"]
    assert cells["lenet"] == ["92.0", "−8.0", "", "+42.0", "+42.0"]
    assert len(re.findall("<strong", markup)) == 10
    assert '<strong class="number">0.0' not in markup


def test_ranks_over_training_subsets_where_there_is_one_seed(study):
    text = Page(ranks(study)).text
    assert "Blocks: 5 training subsets of 100 images per class of digits. Friedman test: p" in text
    assert f"critical difference {critical_difference(4, 5):.2f}" in text
    assert all(f" {model}" in text for model in CLASSIFIERS)


@pytest.mark.parametrize(
    ("seeds", "datasets", "expected"),
    [
        ((0, 1, 2), ("digits",), "3 seeds on digits"),
        ((0,), ("digits", "mnist"), "2 data sets, digits, mnist"),
        ((0, 1), ("digits", "mnist"), "4 pairs of a data set and a seed, on digits, mnist"),
    ],
)
def test_ranks_over_seeds_and_data_sets(tmp_path, seeds, datasets, expected):
    text = Page(ranks(Study.read(tmp_path, make_study(tmp_path, bad=False, seeds=seeds, datasets=datasets)))).text
    assert f"Blocks: {expected}." in text
    assert "Left out" not in text


def test_ranks_leave_out_a_model_that_lacks_a_block(tmp_path):
    config = make_study(tmp_path, bad=False, seeds=(0, 1, 2))
    path = tmp_path / "report/scores.csv"
    scores = pd.read_csv(path)
    scores[(scores["model"] != "lenet") | (scores["seed"] != 2)].to_csv(path, index=False)
    text = Page(ranks(Study.read(tmp_path, config))).text
    assert "Blocks: 3 seeds on digits." in text
    assert "Left out, as they lack some of these blocks: lenet." in text


def test_ranks_remark_that_blocks_are_too_few(tmp_path):
    config = make_study(tmp_path, bad=False, seeds=(0, 1))
    assert "2 blocks are too few to separate any two of 4 models." in Page(ranks(Study.read(tmp_path, config))).text


def test_no_ranks_without_repetition(study):
    (study.results / "report/curves.csv").unlink()
    assert ranks(Study.read(study.results, study.config)) is None


@pytest.mark.parametrize("missing", ["data", "runs"])
def test_no_predictions_no_figures(study, missing):
    shutil.rmtree(study.results / missing)
    assert [draw_figure(figure, study) for figure in FIGURES if figure is not ranks] == [None] * 4


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.__name__)
def test_nothing_yet_is_no_figure(tmp_path, figure):
    assert draw_figure(figure, Study.read(tmp_path, {})) is None


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.__name__)
def test_figures_are_valid_markup(study, figure):
    page = Page(draw_figure(figure, study))
    assert page.unbalanced == page.open == []


def test_a_figure_is_drawn_for_each_data_set_that_it_has_something_to_show_of(tmp_path):
    study = Study.read(tmp_path, make_study(tmp_path, bad=False, datasets=("digits", "gaussians", "mnist")))

    def of_images(study: Study, dataset: str) -> Markup | None:
        return None if dataset == "gaussians" else Markup("<p>{}</p>").format(len(study.datasets))

    assert draw_figure(of_images, study) == "<h4>digits</h4><p>3</p><h4>mnist</h4><p>3</p>"
    assert draw_figure(lambda study, dataset: None, study) is None
    assert draw_figure(lambda study: Markup("all"), study) == "all"


def test_a_single_data_set_needs_no_heading(study):
    assert draw_figure(lambda study, dataset: Markup("<p></p>"), study) == "<p></p>"


def test_nothing_to_lay_out_is_none():
    assert grid([]) is None
    assert grid([None]) is None
    assert stack(None, None) is None
    assert stack(Markup("<p></p>"), None).count("<p>") == 1
