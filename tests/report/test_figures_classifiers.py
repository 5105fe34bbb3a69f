"""The figures that look at what classifiers say: what stands in them, and that they do without what is missing."""

import re
import shutil

import numpy as np
import pandas as pd
import pytest

from made_study import make_study
from page import Page
from pofxy.report.figures.class_recall import class_recall
from pofxy.report.figures.confusions import confusions
from pofxy.report.figures.ranks import ranks
from pofxy.report.figures.reliability import reliability
from pofxy.report.figures.significance import significance
from pofxy.report.significance import critical_difference
from pofxy.report.study import Study

FIGURES = [confusions, class_recall, reliability, significance, ranks]
CLASSIFIERS = ["gaussian_naive_bayes", "lenet", "linear_svm", "logistic_regression"]


@pytest.fixture
def study(tmp_path) -> Study:
    """Four classifiers; lenet makes eight mistakes, logistic_regression none, the other two the same fifty."""
    config = make_study(tmp_path, bad=False)
    truth = np.arange(100) % 10
    some = truth.copy()
    some[np.flatnonzero(truth == 8)[:5]] = 1
    some[np.flatnonzero(truth == 3)[:2]] = 5
    some[0] = 7
    many = np.where(np.arange(100) < 50, (truth + 1) % 10, truth)
    for model, labels in zip(CLASSIFIERS, [many, some, many, truth]):
        said(tmp_path, model, labels)
    return Study.read(tmp_path, config)


def said(folder, model: str, labels: np.ndarray) -> None:
    """Replaces what a model says of the test split; it is certain of it, where it has probabilities."""
    predictions = folder / f"runs/digits/{model}/seed0/predictions"
    np.save(predictions / "labels.npy", labels)
    if (predictions / "probabilities.npy").exists():
        np.save(predictions / "probabilities.npy", np.eye(10)[labels])


def rows(markup: str) -> dict[str, list[str]]:
    """The cells of a table's rows, as text, by the text of the row's header, in their order."""
    found = re.findall(r'<tr[^>]*><th scope="row".*?</tr>', markup)
    texts = [[Page(cell).text for cell in re.findall(r"<t[hd].*?</t[hd]>", row)] for row in found]
    return {header.replace(" ", ""): cells for header, *cells in texts}


def test_confusions_are_said_in_words(study):
    text = Page(confusions(study)).text
    assert "8 taken for 1: 5 times 3 taken for 5: twice <b>nought</b> taken for 7: once" in text
    assert text.count("no mistake") == 1
    assert confusions(study).count("<svg") == 4


def test_confusions_begin_with_the_most_accurate(study):
    labels = re.findall(r'aria-label="confusions of (\w+) on digits"', confusions(study))
    assert labels[:2] == ["logistic_regression", "lenet"]


def test_class_names_are_escaped(study):
    for figure in (confusions, class_recall):
        assert "<b>nought" not in figure(study)
        assert "&lt;b&gt;noug" in figure(study)


def test_class_names_may_be_missing(study):
    (study.results / "data/digits/spec.json").unlink()
    assert "8 taken for 1: 5 times 3 taken for 5: twice 0 taken for 7: once" in Page(confusions(study)).text
    assert class_recall(study)


def test_recall_of_each_class(study):
    found = rows(class_recall(study))
    assert list(found)[:2] == ["logistic_regression", "lenet"]
    assert found["lenet"] == ["90.0", "100.0", "100.0", "80.0", *["100.0"] * 4, "50.0", "100.0", "92.0"]
    assert found["linear_svm"] == ["50.0"] * 11


def test_the_weakest_class_alone_is_framed(study):
    # Only lenet has one: all classes of the others are found equally often.
    assert re.findall(r"<strong>(.*?)</strong>", class_recall(study)) == ["50.0"]


def test_calibration_error_and_who_has_no_probabilities(study):
    markup = reliability(study)
    assert re.findall(r"reliability of (\w+) on digits: expected calibration error ([\d.]+)", markup) == [
        ("logistic_regression", "0.000"),
        ("lenet", "0.080"),  # always sure, wrong eight times in a hundred
        ("gaussian_naive_bayes", "0.500"),
    ]
    assert "No probabilities, so nothing to calibrate: linear_svm." in Page(markup).text


def test_no_probabilities_no_calibration(study):
    for path in study.results.glob("runs/*/*/*/predictions/probabilities.npy"):
        path.unlink()
    assert reliability(study) is None


def test_pairs_that_are_apart(study):
    markup = significance(study)
    # Eight mistakes to none, p = 2 / 2^8, is apart even when doubled by Holm; two with the same mistakes are not.
    assert "5 of 6 pairs are apart, on 100 test images" in Page(markup).text
    found = rows(markup)
    assert list(found) == ["logistic_regression", "lenet", "linear_svm", "gaussian_naive_bayes"]
    assert found["lenet"] == ["92.0", "−8.0", "", "+42.0", "+42.0"]
    assert len(re.findall("<strong", markup)) == 10
    assert '<strong class="number">0.0' not in markup


def test_ranks_over_training_subsets_where_there_is_one_seed(study):
    text = Page(ranks(study)).text
    assert "Blocks: 5 training subsets of 100 images per class of digits. Friedman's test: p" in text
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
    assert "Left out, as not in all of these blocks: lenet." in text


def test_ranks_say_that_blocks_are_too_few(tmp_path):
    config = make_study(tmp_path, bad=False, seeds=(0, 1))
    assert "2 blocks are too few to tell any two of 4 models apart." in Page(ranks(Study.read(tmp_path, config))).text


def test_no_ranks_without_repetition(study):
    (study.results / "report/curves.csv").unlink()
    assert ranks(Study.read(study.results, study.config)) is None


@pytest.mark.parametrize("missing", ["data", "runs"])
def test_figures_of_predictions_do_without_them(study, missing):
    shutil.rmtree(study.results / missing)
    assert [figure(study) for figure in FIGURES if figure is not ranks] == [None] * 4


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.__name__)
def test_nothing_yet_is_no_figure(tmp_path, figure):
    assert figure(Study.read(tmp_path, {})) is None


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.__name__)
def test_figures_are_whole(study, figure):
    page = Page(figure(study))
    assert page.unbalanced == page.open == []
