"""The report, rendered from small made results: what stands in it, what must not, and the page at work in a browser."""

import re

import numpy as np
import pandas as pd
import pytest

from made_study import EVIL, MODELS, PASSPORT, make_study
from page import CHROMIUM, Page, dump
from pofxy import catalog
from pofxy.report import list_failures, render, wording
from pofxy.report.study import Study
from pofxy.report.table import compare
from pofxy.report.verdict import tied, verdicts


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder, config, path of the page, its text, its parsed form) of a study with two runs that went wrong."""
    folder = tmp_path_factory.mktemp("results")
    config = make_study(folder)
    render(folder, config, folder / "report/index.html")
    text = (folder / "report/index.html").read_text(encoding="utf-8")
    return folder, config, folder / "report/index.html", text, Page(text)


def test_page_is_whole_and_valid(made):
    _, _, path, text, page = made
    assert page.unbalanced == []
    assert page.open == []
    ids = [attributes["id"] for attributes in page.having("id")]
    assert len(ids) == len(set(ids))
    targets = {a["href"][1:] for a in page.having("href") if a["href"].startswith("#")}
    assert targets <= set(ids)
    assert "could not be drawn" not in text
    assert [file.name for file in path.parent.iterdir() if file.name.startswith(".")] == []


def test_nothing_is_fetched(made):
    _, _, _, text, page = made
    for name in ("src", "href", "xlink:href", "srcset", "action", "data"):
        for attributes in page.having(name):
            assert attributes[name].startswith(("#", "data:")), attributes
    assert all(target.strip("\"'").startswith(("#", "data:")) for target in re.findall(r"url\(([^)]*)\)", text))
    assert "@import" not in text
    assert "fetch(" not in text
    assert "XMLHttpRequest" not in text


def test_what_comes_from_results_is_escaped(made):
    _, _, _, text, page = made
    assert "<script>alert(1)" not in text
    assert "<b>nought" not in text
    assert EVIL in page.text
    assert "<b>nought</b>" in page.text
    assert [tag for tag, _ in page.elements].count("script") == 1


def test_every_model_has_its_row(made):
    _folder, config, _, _, page = made
    rows = [attributes["data-model"] for attributes in page.having("data-model")]
    assert sorted(rows) == sorted([*MODELS, *config["settings"]])
    # The judge is no competitor: it stands in the list of runs alone.
    assert "digits/feature_net/seed0" in page.text


def test_failures_show_cause_and_end_of_log(made):
    folder, config, _, _, page = made
    found = {failure["name"]: failure for failure in list_failures(Study.read(folder, config))}
    failure = found["dcgan_fast, seed 0, digits"]
    assert (failure["status"], failure["reason"]) == ("failed", EVIL)
    assert failure["tail"].splitlines()[-1] == f"Traceback: {EVIL}"
    assert failure["tail"].splitlines()[0] == "line 26"
    assert len(failure["tail"].splitlines()) == 15
    assert found["vae_beta4, seed 0, digits"]["status"] == "timeout"
    assert "line 26" in page.text
    assert "line 25" not in page.text


def test_failed_run_shows_its_reason_in_its_cells(made):
    folder, config, *_ = made
    one = compare(Study.read(folder, config), "digits")
    row = next(row for row in one.rows if row.model == "vae_beta4")
    cells = dict(zip([column.key for column in one.columns], row.cells, strict=True))
    assert row.status == "timeout"
    assert row.seeds == "0 of 1"
    assert row.summary == "variant of vae"
    assert cells["frechet_distance"].missing == "timeout: not done after the time limit of 60 s"


@pytest.mark.parametrize("bad", [True, False])
def test_partial_banner_iff_a_run_is_not_ok(tmp_path, bad):
    config = make_study(tmp_path, bad=bad)
    render(tmp_path, config, tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert ("Partial report." in page.text) == bad
    assert any(attributes["id"] == "failures" for attributes in page.having("id")) == bad


def test_missing_cells_say_why(made):
    folder, config, *_ = made
    one = compare(Study.read(folder, config), "digits")
    scored = 0
    for row in [*one.rows, *one.references]:
        verbs = tuple(MODELS.get(row.model, ("", "sample"))[1].split())
        for column, cell in zip(one.columns, row.cells, strict=True):
            if why := catalog.evaluations(verbs).get(column.metric):
                assert (cell.text, cell.missing) == ("n/a", f"not applicable: {why}")
                scored += 1
            elif column.metric and row.status == "ok":
                assert not cell.missing
                assert cell.interval
    assert scored >= 10
    costs = dict(zip([column.key for column in one.columns], next(r for r in one.rows if r.model == "lenet").cells, strict=True))
    assert costs["sample_seconds_per_1000"].missing == "not applicable: no sample"


def test_columns_come_from_the_scores(tmp_path):
    config = make_study(tmp_path, bad=False)
    path = tmp_path / "report/scores.csv"
    scores = pd.read_csv(path)
    new = [("digits", "vae", "generative", 0, "novelty", 0.4, 0.3, 0.5, True, "share", "mean", "test", 100)]
    new += [("digits", "vae", "generative", 0, "bits_per_dim", 0.2, 0.1, 0.3, False, "bits/dim, binarised", "ELBO", "test", 100)]
    pd.concat([scores, pd.DataFrame(new, columns=PASSPORT)]).to_csv(path, index=False)
    columns = compare(Study.read(tmp_path, config), "digits").columns
    assert [column.title for column in columns if column.metric == "novelty"] == ["novelty"]
    # Two units never share a column.
    assert [column.unit for column in columns if column.metric == "bits_per_dim"] == ["bits/dim", "bits/dim, binarised"]
    keys = [column.key for column in columns]
    assert len(set(keys)) == len(keys)


def test_bounds_are_marked(made):
    folder, config, *_ = made
    one = compare(Study.read(folder, config), "digits")
    at = [column.key for column in one.columns].index("bits_per_dim")
    cells = {row.model: row.cells[at] for row in [*one.rows, *one.references]}
    assert cells["vae"].text.startswith("≤ ")
    assert cells["vae"].note == "IWAE-32"
    assert not cells["independent_pixels"].text.startswith("≤")


def test_verdicts_name_ties_and_the_cheapest(made):
    folder, config, *_ = made
    study = Study.read(folder, config)
    classify, samples, density, pair = verdicts(study, "digits")
    assert not pair.winners and pair.remarks[0].startswith("gaussian_naive_bayes against logistic_regression: ")
    assert [name for name, *_ in samples.winners] == ["dcgan", "vae"]
    assert "vae is the cheapest of them" in samples.remarks[0]
    assert [name for name, *_ in density.winners] == ["vae"]
    assert "gaussian_naive_bayes" in density.remarks[1]
    assert classify.winners[0][0] == "lenet"


def test_a_tie_is_an_overlap_of_intervals():
    rows = pd.DataFrame(
        {
            "model": ["a", "b", "c", "floor", "broken"],
            "family": ["generative"] * 3 + ["reference", "generative"],
            "value": [2.0, 2.4, 3.0, 1.0, np.inf],
            "low": [1.8, 2.1, 2.7, 0.9, np.nan],
            "high": [2.2, 2.7, 3.3, 1.1, np.nan],
            "higher_is_better": False,
        }
    )
    assert list(tied(rows)["model"]) == ["a", "b"]


def test_several_seeds_and_data_sets(tmp_path):
    config = make_study(tmp_path, bad=False, seeds=(0, 1, 2), datasets=("digits", "mnist"))
    study = Study.read(tmp_path, config)
    row = study.summary.query("dataset == 'mnist' and model == 'lenet' and metric == 'accuracy'").iloc[0]
    values = study.scores.query("dataset == 'mnist' and model == 'lenet' and metric == 'accuracy'")["value"]
    assert (row["low"], row["high"]) == pytest.approx((values.min() - 0.012, values.max() + 0.012))
    assert row["seeds"] == 3
    assert row["value"] == pytest.approx(values.mean())
    render(tmp_path, config, tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert len([a for a in page.having("class") if a["class"] == "sortable"]) == 2
    assert "for a model with several seeds" in page.text


def test_nothing_yet_is_still_a_page(tmp_path):
    render(tmp_path, {"study": "empty", "seeds": [0]}, tmp_path / "report/index.html")
    assert "There are no runs yet." in Page((tmp_path / "report/index.html").read_text(encoding="utf-8")).text


def test_a_broken_picture_costs_one_figure_alone(tmp_path):
    config = make_study(tmp_path, bad=False)
    (tmp_path / "runs/digits/lenet/seed0/history.csv").write_text("epoch,loss\n1,<i>two</i>\n")
    render(tmp_path, config, tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert page.text.count("could not be drawn") == 1
    assert page.unbalanced == []


@pytest.mark.parametrize(
    ("value", "places", "text"), [(0.98765, 3, "0.988"), (-1234.5, 1, "−1,234.5"), (np.inf, 2, "∞"), (2e-6, 3, "2e−06")]
)
def test_number(value, places, text):
    assert wording.number(value, places) == text


def _order(page: Page) -> list[str]:
    return [attributes["data-model"] for attributes in page.having("data-model")]


@pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed (apt-get install chromium)")
def test_sorting_in_a_browser(made, tmp_path):
    folder, config, path, text, _ = made
    at = [column.key for column in compare(Study.read(folder, config), "digits").columns].index("accuracy")
    one = compare(Study.read(folder, config), "digits")
    valued = sorted((row for row in one.rows if row.cells[at].value is not None), key=lambda row: -row.cells[at].value)
    best_first = [row.model for row in valued]
    others = [row.model for row in one.rows if row.cells[at].value is None]
    references = [row.model for row in one.references]

    linked = dump(f"{path.as_uri()}#sort=-accuracy", tmp_path / "profile")
    assert _order(linked) == best_first[::-1] + others + references

    # A page that presses its own header: what a reader's click does.
    clicking = tmp_path / "clicking.html"
    click = "<script>document.querySelector('th[data-key=accuracy] button').click()</script>"
    clicking.write_text(text.replace("</body>", click + "</body>"), encoding="utf-8")
    clicked = dump(clicking.as_uri(), tmp_path / "profile")
    assert _order(clicked) == best_first + others + references
    assert [a["data-key"] for a in clicked.having("aria-sort")] == ["accuracy"]
