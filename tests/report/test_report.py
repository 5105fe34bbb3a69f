"""The report, rendered from made-up results: what it contains, what it must not contain, and the page in a browser."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest

from made_study import EVIL, MODELS, make_study
from page import CHROMIUM, Page, dump
from pofxy.evaluation.intervals import wilson
from pofxy.report import wording
from pofxy.report.comparison import advantage, one_each, tied
from pofxy.report.render import list_failures, render
from pofxy.report.study import Study
from pofxy.report.tables import Cell, Table, compare
from pofxy.report.verdicts import headline_metrics, questions, verdicts
from pofxy.study import catalog, columns


@pytest.fixture
def without_figures(monkeypatch):
    """Pages without figures, which have tests of their own and take most of the time of a page."""
    monkeypatch.setattr("pofxy.report.render.draw_figures", lambda study: [])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder, config, path of the page, its text, its parsed form) of a study in which two runs failed."""
    folder = tmp_path_factory.mktemp("results")
    config = make_study(folder)
    render(folder, config, folder / "report/index.html")
    text = (folder / "report/index.html").read_text(encoding="utf-8")
    return folder, config, folder / "report/index.html", text, Page(text)


def cells_of(tables: list[Table], model: str) -> dict[str, Cell]:
    """The cells of a model by the keys of their columns, over all tables."""
    rows = [(table, row) for table in tables for row in (*table.rows, *table.references) if row.model == model]
    return {column.key: cell for table, row in rows for column, cell in zip(table.columns, row.cells, strict=True)}


def topic(tables: list[Table], name: str) -> Table:
    return next(table for table in tables if table.topic == name)


def test_the_page_is_complete_and_valid(made):
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
    assert sorted(set(rows)) == sorted([*MODELS, *config["settings"]])
    # The feature net is not compared: it is only in the list of runs.
    assert "digits/feature_net/seed0" in page.text


def test_failures_show_their_cause_and_the_end_of_the_log(made):
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


def test_each_failed_seed_has_its_entry_and_one_of_them_the_anchor(tmp_path):
    config = make_study(tmp_path, bad=False, seeds=(0, 1))
    path = tmp_path / "report/runs.csv"
    runs = pd.read_csv(path, dtype=str)
    runs.loc[runs["model"] == "lenet", ["status", "reason"]] = "failed", "no luck"
    runs.to_csv(path, index=False)
    failures = list_failures(Study.read(tmp_path, config))
    assert [failure["name"] for failure in failures] == ["lenet, seed 0, digits", "lenet, seed 1, digits"]
    assert [failure["anchor"] for failure in failures] == ["digits-lenet", ""]


def test_a_failed_run_shows_its_reason_in_its_cells(made):
    folder, config, *_ = made
    found = compare(Study.read(folder, config), "digits")
    rows = [row for one in found for row in one.rows if row.model == "vae_beta4"]
    # A failed run says so wherever it could have had a score: it has the capability sample.
    assert [one.topic for one in found if "vae_beta4" in {row.model for row in one.rows}] == ["Samples", "Cost"]
    assert "vae_beta4" in topic(found, "Likelihood").absent["no log_prob, log_weight, log_prob_bound or log_unnormalized"]
    assert {(row.status, row.seeds, row.summary) for row in rows} == {("timeout", "0 of 1", "variant of vae")}
    assert cells_of(found, "vae_beta4")["frechet_distance"].missing == "timeout: not done after the time limit of 60 s"


@pytest.mark.parametrize("bad", [True, False])
@pytest.mark.usefixtures("without_figures")
def test_the_partial_banner_is_there_iff_a_run_failed(tmp_path, bad):
    config = make_study(tmp_path, bad=bad)
    render(tmp_path, config, tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert ("Partial report." in page.text) == bad
    assert any(attributes["id"] == "failures" for attributes in page.having("id")) == bad


def test_missing_cells_say_why(made):
    folder, config, *_ = made
    found = compare(Study.read(folder, config), "digits")
    missing = 0
    for one in found:
        for row in (row for row in [*one.rows, *one.references] if row.status == "ok"):
            _, capabilities, scores = MODELS[row.model]
            why = catalog.evaluations(tuple(capabilities.split()))
            for column, cell in zip(one.columns, row.cells, strict=True):
                if why.get(column.metric):
                    assert (cell.text, cell.missing) == ("n/a", f"not applicable: {why[column.metric]}")
                    missing += 1
                elif column.metric in scores and column.split == "test":
                    assert not cell.missing
                    assert cell.interval
    assert missing >= 10
    assert cells_of(found, "lenet")["sample_seconds_per_1000"].missing == "not applicable: no sample"


def test_tables_contain_the_models_that_have_a_value_there(made):
    folder, config, *_ = made
    found = compare(Study.read(folder, config), "digits")
    assert [one.topic for one in found] == ["Classification", "Likelihood", "Samples", "Reconstructions and latents", "Cost"]
    classified = topic(found, "Classification")
    assert [row.model for row in classified.rows] == [model for model, (_, _, scores) in MODELS.items() if "accuracy" in scores]
    assert "vae" in classified.absent["no predict or predict_proba"]
    samples = topic(found, "Samples")
    assert samples.absent == {"no sample": ["logistic_regression", "linear_svm", "lenet", "autoencoder"]}
    assert {row.model for row in topic(found, "Cost").rows} == {
        *(model for model, (family, *_) in MODELS.items() if family != "reference"),
        *config["settings"],
    }
    # Each column is in exactly one table.
    keys = [column.key for one in found for column in one.columns]
    assert len(keys) == len(set(keys))


def test_absent_models_are_named_below_a_table(made):
    _, _, _, _, page = made
    assert "Not in this table: logistic_regression, linear_svm, lenet, autoencoder (no sample)." in page.text


def test_a_whole_family_that_is_absent_is_counted(tmp_path):
    config = make_study(tmp_path, bad=False)
    path = tmp_path / "report/runs.csv"
    runs = pd.read_csv(path)
    more = [runs[runs["model"] == "lenet"].assign(model=name) for name in ("vgg", "mlp", "resnet")]
    pd.concat([runs, *more]).to_csv(path, index=False)
    samples = topic(compare(Study.read(tmp_path, config), "digits"), "Samples")
    assert samples.absent == {"no sample": ["all 6 discriminative models", "autoencoder"]}


def test_train_stands_beside_test(made):
    folder, config, *_ = made
    likelihood = topic(compare(Study.read(folder, config), "digits"), "Likelihood")
    assert [(column.metric, column.split) for column in likelihood.columns] == [
        ("bits_per_dim", "test"),
        ("bits_per_dim", "train"),
    ]
    assert likelihood.columns[1].title == "Bits per dimension (train)"


def changed(folder, config, rows: list[dict]) -> Study:
    """The study with additional rows in scores.csv."""
    path = folder / "report/scores.csv"
    base = {"dataset": "digits", "family": "generative", "seed": 0, "estimator": "", "split": "test", "n": 360}
    pd.concat([pd.read_csv(path), pd.DataFrame([base | row for row in rows])]).to_csv(path, index=False)
    return Study.read(folder, config)


def test_of_several_estimators_the_one_over_more_images_is_shown(tmp_path):
    config = make_study(tmp_path, bad=False)
    bits = {"model": "vae", "metric": "bits_per_dim", "unit": "bits/dim", "higher_is_better": False}
    rows = [
        bits | {"value": 1.2, "ci_low": 1.1, "ci_high": 1.3, "estimator": "IWAE-512", "bound": True, "n": 100},
        bits | {"value": 1.7, "ci_low": 1.6, "ci_high": 1.8, "estimator": "IWAE-64", "bound": True},
    ]
    study = changed(tmp_path, config, rows)
    cell = cells_of(compare(study, "digits"), "vae")["bits_per_dim"]
    assert (cell.text, cell.note) == ("≤ 1.70", "IWAE-64")
    found = study.summary.query("model == 'vae' and metric == 'bits_per_dim' and split == 'test'")
    assert list(one_each(found)["estimator"]) == ["IWAE-64"]
    assert len(found) == 3


@pytest.mark.usefixtures("without_figures")
def test_what_is_best_at_a_value_is_sorted_by_its_distance(tmp_path, monkeypatch):
    monkeypatch.setattr("pofxy.report.study.best_values", lambda: {"novelty": 1.0})
    config = make_study(tmp_path, bad=False)
    score = {"metric": "novelty", "unit": "ratio", "higher_is_better": False}
    values = {"vae": 1.3, "dcgan": 0.9, "conditional_gan": 0.2, "gaussian_naive_bayes": 1.08}
    rows = [score | {"model": m, "value": v, "ci_low": v - 0.05, "ci_high": v + 0.05} for m, v in values.items()]
    study = changed(tmp_path, config, rows)
    other = topic(compare(study, "digits"), "Other scores")
    assert [(column.arrow, column.direction) for column in other.columns] == [("→ 1", "best at 1")]
    cells = {row.model: row.cells[0] for row in other.rows}
    assert {model: round(cell.value, 6) for model, cell in cells.items()} == {
        "vae": 0.3,
        "dcgan": 0.1,
        "conditional_gan": 0.8,
        "gaussian_naive_bayes": 0.08,
    }
    # 0.9 and 1.08 are on either side of 1, and the difference of their distances from 1 may be chance.
    assert {model for model, cell in cells.items() if cell.best} == {"dcgan", "gaussian_naive_bayes"}
    assert cells["dcgan"].text == "0.90"
    render(tmp_path, config, tmp_path / "page.html")
    header = next(a for a in Page((tmp_path / "page.html").read_text()).having("data-key") if a["data-key"] == "novelty")
    assert header["data-best"] == "ascending"


def test_the_normalized_score_stands_beside_the_value(made):
    folder, config, _, _, page = made
    found = compare(Study.read(folder, config), "digits")
    assert cells_of(found, "real_train")["frechet_distance"].normalized_score == pytest.approx(0, abs=0.05)
    assert cells_of(found, "independent_pixels")["frechet_distance"].normalized_score == pytest.approx(1, abs=0.05)
    assert cells_of(found, "lenet")["accuracy"].normalized_score is None
    assert "0 is real_train" in page.text
    bars = [a["style"] for tag, a in page.elements if tag == "b" and "style" in a]
    assert all(0 <= float(re.fullmatch(r"width:([\d.]+)%", style)[1]) <= 100 for style in bars)
    assert len(bars) > 20


@pytest.mark.usefixtures("without_figures")
def test_scores_may_have_no_normalized_score(tmp_path):
    config = make_study(tmp_path, bad=False)
    path = tmp_path / "report/scores.csv"
    pd.read_csv(path).drop(columns="normalized_score").to_csv(path, index=False)
    assert not any(one.has_normalized_scores for one in compare(Study.read(tmp_path, config), "digits"))
    render(tmp_path, config, tmp_path / "page.html")
    assert "0 is real_train" not in Page((tmp_path / "page.html").read_text(encoding="utf-8")).text


def test_columns_come_from_the_scores(tmp_path):
    config = make_study(tmp_path, bad=False)
    path = tmp_path / "report/scores.csv"
    scores = pd.read_csv(path)
    vae = ("digits", "vae", "generative", 0)
    new = [
        (*vae, "novelty", 0.4, 0.3, 0.5, True, "share", "mean", "", "test", 100, ""),
        (*vae, "bits_per_dim", 0.2, 0.1, 0.3, False, "bits/dim, binarized", "ELBO", "True", "test", 100, ""),
    ]
    pd.concat([scores, pd.DataFrame(new, columns=list(columns.SCORES))]).to_csv(path, index=False)
    shown = [column for one in compare(Study.read(tmp_path, config), "digits") for column in one.columns]
    assert [column.title for column in shown if column.metric == "novelty"] == ["novelty"]
    # Two units never share a column.
    bits = [(column.unit, column.split) for column in shown if column.metric == "bits_per_dim"]
    assert bits == [("bits/dim", "test"), ("bits/dim", "train"), ("bits/dim, binarized", "test")]
    keys = [column.key for column in shown]
    assert len(set(keys)) == len(keys)


def test_bounds_are_marked(made):
    folder, config, *_ = made
    found = compare(Study.read(folder, config), "digits")
    cell = cells_of(found, "vae")["bits_per_dim"]
    assert cell.text.startswith("≤ ")
    assert cell.note == "IWAE-32"
    assert not cells_of(found, "independent_pixels")["bits_per_dim"].text.startswith("≤")


def test_the_column_bound_decides_and_not_the_name_of_the_estimator(tmp_path):
    config = make_study(tmp_path, bad=False)
    bits = {"metric": "bits_per_dim", "unit": "bits/dim", "higher_is_better": False}
    rows = [
        bits | {"model": "dcgan", "value": 2.5, "ci_low": 2.4, "ci_high": 2.6, "estimator": "one code", "bound": "True"},
        bits | {"model": "conditional_gan", "value": 2.7, "ci_low": 2.6, "ci_high": 2.8, "estimator": "ELBO", "bound": "False"},
    ]
    study = changed(tmp_path, config, rows)
    found = compare(study, "digits")
    assert cells_of(found, "dcgan")["bits_per_dim"].text == "≤ 2.50"
    assert cells_of(found, "conditional_gan")["bits_per_dim"].text == "2.70"
    assert study.scores["bound"].dtype == bool
    (density,) = (verdict for verdict in verdicts(study, "digits") if verdict.measure == "Bits per dimension")
    assert "Only a bound is known for gaussian_naive_bayes, dcgan: the true value may be better than shown." in density.remarks


def test_scores_without_the_column_bound_are_no_bounds(tmp_path):
    config = make_study(tmp_path, bad=False)
    path = tmp_path / "report/scores.csv"
    pd.read_csv(path).drop(columns="bound").to_csv(path, index=False)
    assert not Study.read(tmp_path, config).summary["bound"].any()


def test_verdicts_name_ties_and_the_cheapest(made):
    folder, config, *_ = made
    study = Study.read(folder, config)
    classify, samples, density, memory, collapse, pair = verdicts(study, "digits")
    assert not pair.winners and pair.remarks[0].startswith("gaussian_naive_bayes against logistic_regression: ")
    assert [name for name, *_ in samples.winners] == ["dcgan", "vae"]
    assert "vae is the cheapest of them" in samples.remarks[0]
    assert [name for name, *_ in density.winners] == ["vae"]
    assert "gaussian_naive_bayes" in density.remarks[1]
    assert classify.winners[0][0] == "lenet"
    assert memory.question == "Does anything look memorized?" and collapse.question == "Has anything collapsed?"


def test_every_question_is_a_file_with_its_own_place_and_known_metrics():
    assert [entry.name for entry in questions()][:3] == ["best_classifier", "best_generator", "best_density"]
    orders = [entry.order for entry in questions()]
    assert len(set(orders)) == len(orders)
    assert set(headline_metrics()) <= set(catalog.metrics())


def summary(values: dict[str, float], half: float) -> pd.DataFrame:
    """Rows like those of `Study.summary`; a model called floor is a reference."""
    rows = pd.DataFrame({"model": list(values), "value": list(values.values())})
    rows["low"], rows["high"], rows["loss"] = rows["value"] - half, rows["value"] + half, rows["value"]
    rows["family"] = np.where(rows["model"] == "floor", "reference", "generative")
    return rows.assign(
        dataset="digits", metric="log_loss", unit="nats", split="test", estimator="", n=100, best=np.nan, higher_is_better=False
    )


def test_a_tie_is_a_difference_that_chance_explains(tmp_path):
    """Standard errors of 0.1 each: two scores tie up to 1.96 sqrt(0.02) = 0.277."""
    rows = summary({"a": 2.0, "b": 2.27, "c": 2.28, "floor": 1.0, "broken": np.inf}, 0.196)
    study = Study.read(tmp_path, {})
    assert list(tied(study, rows)["model"]) == ["a", "b"]
    # Their intervals overlap nevertheless.
    assert rows["low"][2] < rows["high"][0]
    unknown = rows.assign(low=np.nan, high=np.nan)
    assert list(tied(study, unknown)["model"]) == ["a"]


def test_pairs_of_images_decide_where_they_are_known(tmp_path):
    runs = pd.DataFrame({"dataset": "digits", "model": ["a", "b", "c"], "family": "generative", "seed": 0, "status": "ok"})
    (tmp_path / "report").mkdir()
    runs.to_csv(tmp_path / "report/runs.csv", index=False)
    study = Study.read(tmp_path, {})
    hard = np.random.default_rng(0).exponential(1, 100)
    noise = np.random.default_rng(1).normal(0, 0.05, (2, 100))
    noise -= noise.mean(1, keepdims=True)
    values = {"a": hard, "b": hard + 0.1 + noise[0], "c": hard + 0.001 + noise[1]}
    for model, per_image in values.items():
        folder = study.folder("digits", model, 0) / "predictions/per_image"
        folder.mkdir(parents=True)
        np.save(folder / "log_loss.npy", per_image.astype(np.float32))
    rows = summary({model: per_image.mean() for model, per_image in values.items()}, 0.2)
    study = dataclasses.replace(study, scores=as_scores(rows))
    # b is slightly worse on every image, which overlapping intervals do not show.
    assert list(tied(study, rows)["model"]) == ["a", "c"]
    gap, error = advantage(study, rows.iloc[0], rows.iloc[1])
    difference = values["b"] - values["a"]
    assert (gap, error) == pytest.approx((difference.mean(), difference.std(ddof=1) / 10), rel=1e-4)
    # Another number of images means another score. A wider interval contains more than the variation between images.
    for other in (rows.assign(n=360), rows.assign(split="train"), rows.assign(low=rows["low"] - 0.3, high=rows["high"] + 0.3)):
        assert set(tied(dataclasses.replace(study, scores=as_scores(other)), other)["model"]) == {"a", "b", "c"}


def test_pairs_of_images_decide_near_a_perfect_accuracy_too(tmp_path):
    """There an interval of Wilson's is much wider than the mean's standard error, but it holds nothing that the images share."""
    runs = pd.DataFrame({"dataset": "digits", "model": ["a", "b"], "family": "discriminative", "seed": 0, "status": "ok"})
    (tmp_path / "report").mkdir()
    runs.to_csv(tmp_path / "report/runs.csv", index=False)
    study = Study.read(tmp_path, {})
    values = {"a": np.ones(360), "b": np.repeat([0.0, 1.0], [4, 356])}
    rows = summary({model: per_image.mean() for model, per_image in values.items()}, 0)
    rows = rows.assign(metric="accuracy", unit="share", n=360, higher_is_better=True, loss=-rows["value"])
    rows["low"], rows["high"] = zip(wilson(360, 360), wilson(356, 360))
    study = dataclasses.replace(study, scores=as_scores(rows))
    assert list(tied(study, rows)["model"]) == ["a", "b"], "by the two intervals alone"
    for model, per_image in values.items():
        folder = study.folder("digits", model, 0) / "predictions/per_image"
        folder.mkdir(parents=True)
        np.save(folder / "accuracy.npy", per_image.astype(np.float32))
    study = dataclasses.replace(study)  # it remembers which files there are
    assert list(tied(study, rows)["model"]) == ["a"], "four images that only one of the two gets wrong: 2.01 standard errors"


def as_scores(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of `Study.summary` as rows of scores.csv, of one seed."""
    return rows.assign(seed=0).rename(columns={"low": "ci_low", "high": "ci_high"})


def without(study: Study, **values) -> Study:
    """The study without the scores that have all of these values."""
    removed = np.logical_and.reduce([study.scores[name] == value for name, value in values.items()])
    return dataclasses.replace(study, scores=study.scores[~removed])


def card(study: Study, dataset: str, question: str):
    return next((verdict for verdict in verdicts(study, dataset) if verdict.question == question), None)


def test_memorization_is_an_alarm(made):
    folder, config, _, _, page = made
    study = Study.read(folder, config)
    found = card(study, "digits", "Does anything look memorized?")
    # Four models were tested: 0.0004 becomes 0.0016.
    assert len(found.alarms) == 1
    assert found.alarms[0].startswith(
        "dcgan: its samples are closer to train images than to test images (p = 0.0016), and only 3"
    )
    assert found.alarms[0].endswith(" % of its samples are authentic.")
    assert found.remarks == ["The test detects copycat, the baseline that repeats train images, as it should."]
    assert any(a["class"] == "alarm" for a in page.having("class"))
    calm = card(without(study, model="dcgan"), "digits", "Does anything look memorized?")
    assert calm.alarms == []
    assert calm.remarks[0] == "No model's samples are closer to the train images than to the test images."
    scores = study.scores.copy()
    scores.loc[(scores["model"] == "copycat") & (scores["metric"] == "memorization_p_value"), "value"] = 0.4
    blind = card(dataclasses.replace(study, scores=scores), "digits", "Does anything look memorized?")
    assert "does not detect copycat" in blind.remarks[-1]


def test_a_collapse_is_an_alarm_that_names_the_epoch(made, tmp_path):
    folder, config, *_ = made
    study = Study.read(folder, config)
    calm = card(without(study, metric="distinct_classes"), "digits", "Has anything collapsed?")
    assert not calm.alarms and calm.remarks[0].startswith("No. Samples stay as diverse as train images")
    shutil.copytree(folder, tmp_path / "results")
    study = Study.read(tmp_path / "results", config)
    path = study.folder("digits", "dcgan", study.first_seed("digits", "dcgan")) / "train.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"collapsed": 20}))
    scores = study.scores.copy()
    scores.loc[(scores["model"] == "vae") & (scores["metric"] == "distinct_classes"), "value"] = 0.8
    found = card(dataclasses.replace(study, scores=scores), "digits", "Has anything collapsed?")
    assert any(alarm.startswith("dcgan: from epoch 20 on, its samples of a class are all alike") for alarm in found.alarms)
    assert not found.remarks
    assert "vae: only 80 % of the classes occur among its samples." in found.alarms


def test_where_the_test_rejects_real_images_only_closer_samples_are_suspected(made):
    """Train and test come from different writers: a model as close to train as real images are has not memorized anything."""
    folder, config, *_ = made
    study = Study.read(folder, config)
    scores = study.scores.copy()
    names, metrics = scores["model"], scores["metric"]
    scores.loc[metrics.eq("authenticity"), ["value", "ci_low", "ci_high"]] = 0.9, 0.88, 0.92
    scores.loc[metrics.eq("memorization_p_value") & names.isin(["real_train", "dcgan", "copycat"]), "value"] = 0.001
    ratio = metrics.eq("nearest_neighbor_ratio")
    scores.loc[ratio, ["value", "ci_low", "ci_high"]] = 0.98, 0.97, 0.99
    scores.loc[ratio & names.eq("copycat"), ["value", "ci_low", "ci_high"]] = 0.4, 0.38, 0.42
    found = card(dataclasses.replace(study, scores=scores), "digits", "Does anything look memorized?")
    assert found.alarms == [] and "than real images are" in found.remarks[0] and "the splits differ" in found.remarks[1]
    assert found.remarks[2] == "The test detects copycat, the baseline that repeats train images, as it should."
    scores.loc[ratio & names.eq("dcgan"), ["value", "ci_low", "ci_high"]] = 0.7, 0.68, 0.72
    found = card(dataclasses.replace(study, scores=scores), "digits", "Does anything look memorized?")
    assert len(found.alarms) == 1 and found.alarms[0].startswith("dcgan")


@pytest.fixture(scope="module")
def gaussians_study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gaussians")
    return Study.read(folder, make_study(folder, bad=False, datasets=("gaussians",)))


def test_distance_to_the_best_possible(gaussians_study):
    found = card(gaussians_study, "gaussians", "How far from the best possible?")
    assert [winner[0] for winner in found.winners] == ["logistic_regression", "logistic_regression", "gaussian_naive_bayes"]
    scores = gaussians_study.scores[
        (gaussians_study.scores["metric"] == "log_density") & (gaussians_study.scores["split"] == "test")
    ]
    values = scores.set_index("model")["value"]
    assert float(found.winners[2][2]) == pytest.approx(values["oracle"] - values["gaussian_naive_bayes"], abs=0.005)
    assert found.alarms == []
    assert card(without(gaussians_study, model="oracle"), "gaussians", "How far from the best possible?") is None


@pytest.mark.parametrize(("value", "alarms"), [(-1.7, 1), (-2.0, 0)])
def test_better_than_possible_is_an_alarm(gaussians_study, value, alarms):
    scores = gaussians_study.scores.copy()
    chosen = (scores["metric"] == "log_density") & (scores["model"] == "gaussian_naive_bayes") & (scores["split"] == "test")
    scores.loc[chosen, ["value", "ci_low", "ci_high"]] = value, value - 0.05, value + 0.05
    found = card(dataclasses.replace(gaussians_study, scores=scores), "gaussians", "How far from the best possible?")
    assert len(found.alarms) == alarms
    assert all(
        "gaussian_naive_bayes beats the true distribution" in alarm and "better than possible" in alarm for alarm in found.alarms
    )


@pytest.mark.usefixtures("without_figures")
def test_several_seeds_and_data_sets(tmp_path):
    config = make_study(tmp_path, bad=False, seeds=(0, 1, 2), datasets=("digits", "mnist"))
    study = Study.read(tmp_path, config)
    row = study.summary.query("dataset == 'mnist' and model == 'lenet' and metric == 'accuracy'").iloc[0]
    values = study.scores.query("dataset == 'mnist' and model == 'lenet' and metric == 'accuracy'")["value"]
    assert (row["low"], row["high"]) == pytest.approx((values.min() - 0.012, values.max() + 0.012))
    assert row["seeds"] == 3
    assert row["value"] == pytest.approx(values.mean())
    assert row["spread"] == pytest.approx(np.std(values, ddof=1))
    cell = cells_of(compare(study, "mnist"), "lenet")["accuracy"]
    assert cell.seeds == f"seeds ± {wording.number(np.std(values, ddof=1), 3)}"
    assert cells_of(compare(study, "mnist"), "real_train")["frechet_distance"].seeds == ""
    render(tmp_path, config, tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert len([a for a in page.having("class") if a["class"] == "sortable"]) == 2 * 5
    assert "For a model with several seeds" in page.text
    assert "mean over 3 seeds" in page.text


def test_nothing_yet_is_still_a_page(tmp_path):
    render(tmp_path, {"study": "empty", "seeds": [0]}, tmp_path / "report/index.html")
    assert "There are no runs yet." in Page((tmp_path / "report/index.html").read_text(encoding="utf-8")).text


@pytest.mark.slow
def test_a_figure_that_cannot_be_drawn_does_not_affect_the_others(tmp_path):
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


def _orders(page: Page) -> list[list[str]]:
    """The models of each table, from top to bottom."""
    orders = []
    for tag, attributes in page.elements:
        if attributes.get("class") == "sortable":
            orders.append([])
        if "data-model" in attributes and tag == "tr":
            orders[-1].append(attributes["data-model"])
    return orders


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed (apt-get install chromium)")
def test_sorting_in_a_browser(made, tmp_path):
    folder, config, path, text, plain = made
    one, *others = compare(Study.read(folder, config), "digits")
    at = [column.key for column in one.columns].index("accuracy")
    valued = sorted((row for row in one.rows if row.cells[at].value is not None), key=lambda row: -row.cells[at].value)
    best_first = [row.model for row in valued]
    without = [row.model for row in one.rows if row.cells[at].value is None]
    references = [row.model for row in one.references]

    linked = dump(f"{path.as_uri()}#sort=-accuracy", tmp_path / "profile")
    assert _orders(linked)[0] == best_first[::-1] + without + references
    # A table without this column keeps its order.
    assert _orders(linked)[1:] == _orders(plain)[1:]
    assert len(_orders(plain)) == 1 + len(others)

    # A page that clicks its own header, as a reader would.
    clicking = tmp_path / "clicking.html"
    click = "<script>document.querySelector('th[data-key=accuracy] button').click()</script>"
    clicking.write_text(text.replace("</body>", click + "</body>"), encoding="utf-8")
    clicked = dump(clicking.as_uri(), tmp_path / "profile")
    assert _orders(clicked)[0] == best_first + without + references
    assert [a["data-key"] for a in clicked.having("aria-sort")] == ["accuracy"]
