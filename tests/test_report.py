"""The report, rendered from small made results: what stands in it, what must not, and the page at work in a browser."""

import html.parser
import json
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pofxy import catalog, plan
from pofxy.report import list_failures, render, wording
from pofxy.report.study import Study
from pofxy.report.table import compare
from pofxy.report.verdict import tied, verdicts

EVIL = "ValueError: <script>alert(1)</script> & \"quotes\" {{ 7 * 7 }}"
CHROMIUM = shutil.which("chromium")
PASSPORT = "dataset,model,family,seed,metric,value,ci_low,ci_high,higher_is_better,unit,estimator,split,n".split(",")
# model: (family, verbs, its scores as metric -> (value, half of its interval, estimator))
MODELS = {
    "logistic_regression": ("discriminative", "predict predict_proba", {"accuracy": (0.961, 0.02, ""), "log_loss": (0.131, 0.05, "")}),
    "lenet": ("discriminative", "predict predict_proba", {"accuracy": (0.986, 0.012, ""), "log_loss": (0.052, 0.02, "")}),
    "gaussian_naive_bayes": (
        "generative",
        "predict predict_proba log_joint log_prob sample",
        {
            "accuracy": (0.911, 0.029, ""),
            "log_loss": (0.74, 0.2, ""),
            "bits_per_dim": (3.01, 0.05, "uniform-dequantised bound"),
            "frechet_distance": (38.2, 4.1, "feature_net 0a1b2c3d"),
        },
    ),
    "vae": (
        "generative",
        "log_prob_bound sample reconstruct encode",
        {
            "bits_per_dim": (1.84, 0.03, "IWAE-32"),
            "frechet_distance": (5.9, 0.8, "feature_net 0a1b2c3d"),
            "reconstruction_mse": (0.0121, 0.0006, ""),
            "psnr": (19.6, 0.3, ""),
        },
    ),
    "dcgan": ("generative", "sample", {"frechet_distance": (5.2, 0.9, "feature_net 0a1b2c3d")}),
    "real_train": ("reference", "sample", {"frechet_distance": (3.1, 0.5, "feature_net 0a1b2c3d")}),
    "independent_pixels": ("reference", "log_prob sample", {"bits_per_dim": (3.4, 0.02, "exact mass"), "frechet_distance": (221.0, 9.0, "feature_net 0a1b2c3d")}),
}
WITHOUT_HISTORY = ("logistic_regression", "gaussian_naive_bayes", "real_train", "independent_pixels")
COST = {"parameters": 12_000, "fit_seconds": 12.0, "sample_seconds_per_1000": 0.8, "predict_ms_per_image": 0.05, "peak_mb": 640.0, "model_bytes": 250_000}


def make_study(folder, bad: bool = True, seeds=(0,), datasets=("digits",)) -> dict:
    """Plausible results of a study, two runs of which went wrong where `bad`; gives the study's config."""
    rng = np.random.default_rng(0)
    scores, runs = [], []
    settings = {"vae_beta4": {"of": "vae", "beta": 4}, "dcgan_fast": {"of": "dcgan", "steps": 10}} if bad else {}
    for dataset in datasets:
        _make_data(folder / "data" / dataset, dataset, rng)
        for i, (model, (family, verbs, found)) in enumerate(MODELS.items()):
            for seed in seeds if family != "reference" else seeds[:1]:
                _make_run(folder / "runs" / dataset / model / f"seed{seed}", model, verbs, rng)
                cost = {name: value * (1 + i) * rng.uniform(0.8, 1.2) for name, value in COST.items()}
                for verb, name in (("sample", "sample_seconds_per_1000"), ("predict", "predict_ms_per_image")):
                    cost[name] = cost[name] if verb in verbs.split() else ""
                runs.append({"dataset": dataset, "model": model, "family": family, "seed": seed, "status": "ok", "verbs": verbs, **cost})
                for metric, (value, half, estimator) in found.items():
                    value += rng.normal() * half / 3
                    known = catalog.metrics()[metric].constants
                    passport = (known["HIGHER_IS_BETTER"], known["UNIT"], estimator, "test", 360)
                    scores.append((dataset, model, family, seed, metric, value, value - half, value + half, *passport))
        runs.append({"dataset": dataset, "model": "feature_net", "family": "judge", "seed": 0, "status": "ok", "verbs": "encode", **COST})
        if bad:
            for model, status, reason in (("vae_beta4", "timeout", "not done after the time limit of 60 s"), ("dcgan_fast", "failed", EVIL)):
                run = folder / "runs" / dataset / model / "seed0"
                (run / "logs").mkdir(parents=True)
                (run / "logs/train.log").write_text("".join(f"line {n}\n" for n in range(40)) + f"Traceback: {EVIL}\n")
                (run / "failure.json").write_text(json.dumps({"stage": "train", "status": status, "reason": reason}))
                runs.append({"dataset": dataset, "model": model, "family": "generative", "seed": 0, "status": status, "reason": reason, "verbs": "sample"})
    (folder / "report").mkdir(parents=True)
    pd.DataFrame(scores, columns=PASSPORT).to_csv(folder / "report/scores.csv", index=False)
    pd.DataFrame(runs).to_csv(folder / "report/runs.csv", index=False)
    return {"study": "a made study", "datasets": list(datasets), "models": "all", "seeds": list(seeds), "settings": settings}


def _make_data(folder, name, rng):
    folder.mkdir(parents=True)
    y = np.arange(100) % 10
    x = (rng.uniform(size=(10, 1, 8, 8)) > 0.6)[y] * rng.uniform(0.5, 1, (100, 1, 8, 8))
    np.save(folder / "test_x.npy", x.astype(np.float32))
    np.save(folder / "test_y.npy", y)
    spec = {"name": name, "shape": [1, 8, 8], "classes": 10, "levels": 17, "class_names": ["<b>nought</b>", *"123456789"]}
    (folder / "spec.json").write_text(json.dumps(spec))
    (folder / "audit.json").write_text(json.dumps({"duplicates": {"within_train": 3}, "counts": {"test": [10] * 10}}))


def _make_run(folder, model, verbs, rng):
    (folder / "logs").mkdir(parents=True)
    (folder / "pictures").mkdir()
    (folder / "logs/train.tsv").write_text("s\th:m:s\tmax_rss\n12.5\t0:00:12\t640\n")
    origin = {"commit": "0123456789abcdef", "dirty": False, "config_hash": "0a1b2c", "versions": {"torch": "2.13.0"}, "machine": {"cores": 2}}
    (folder / "train.json").write_text(json.dumps({"provenance": origin}))
    if "sample" in verbs.split():
        Image.fromarray(rng.integers(0, 255, (80, 160), dtype=np.uint8)).save(folder / "samples.png")
    if "reconstruct" in verbs.split():
        Image.fromarray(rng.integers(0, 255, (40, 160), dtype=np.uint8)).save(folder / "pictures/reconstructions.png")
    if model in WITHOUT_HISTORY:
        (folder / "history.csv").write_text("")
        return
    epoch = np.arange(1, 41)
    fall = np.exp(-epoch / 8) + rng.normal(0, 0.01, 40)
    columns = {"epoch": epoch, "seconds": epoch * 0.3}
    if model == "dcgan":
        columns |= {"discriminator_loss": 0.6 + fall / 4, "generator_loss": 1.6 - fall}
    else:
        columns |= {"loss": fall + 0.1, "val_loss": fall + 0.16 + 0.003 * np.maximum(epoch - 20, 0)}
    pd.DataFrame(columns).to_csv(folder / "history.csv", index=False)


class Page(html.parser.HTMLParser):
    """What a test asks of a page: its elements, its visible text, and whether each element that was opened is closed."""

    VOID = {"meta", "link", "img", "br", "hr", "input"}

    def __init__(self, text: str):
        super().__init__()
        self.elements, self.open, self.text, self.unbalanced = [], [], [], []
        self.feed(text)
        self.close()
        self.text = " ".join(" ".join(self.text).split())

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append((tag, self.getpos()))

    def handle_data(self, data):
        if "script" not in self.open and "style" not in self.open:
            self.text.append(data)

    def having(self, name: str) -> list[dict]:
        return [attributes for _, attributes in self.elements if name in attributes]


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
    assert page.unbalanced == [] and page.open == []
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
    assert "@import" not in text and "fetch(" not in text and "XMLHttpRequest" not in text


def test_what_comes_from_results_is_escaped(made):
    _, _, _, text, page = made
    assert "<script>alert(1)" not in text and "<b>nought" not in text
    assert EVIL in page.text and "<b>nought</b>" in page.text
    assert [tag for tag, _ in page.elements].count("script") == 1


def test_every_model_has_its_row(made):
    folder, config, _, _, page = made
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
    assert failure["tail"].splitlines()[0] == "line 26" and len(failure["tail"].splitlines()) == 15
    assert found["vae_beta4, seed 0, digits"]["status"] == "timeout"
    assert "line 26" in page.text and "line 25" not in page.text


def test_failed_run_shows_its_reason_in_its_cells(made):
    folder, config, *_ = made
    one = compare(Study.read(folder, config), "digits")
    row = next(row for row in one.rows if row.model == "vae_beta4")
    cells = dict(zip([column.key for column in one.columns], row.cells, strict=True))
    assert row.status == "timeout" and row.seeds == "0 of 1" and row.summary == "variant of vae"
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
                assert not cell.missing and cell.interval
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
    assert cells["vae"].text.startswith("≤ ") and cells["vae"].note == "IWAE-32"
    assert not cells["independent_pixels"].text.startswith("≤")


def test_verdicts_name_ties_and_the_cheapest(made):
    folder, config, *_ = made
    study = Study.read(folder, config)
    classify, samples, density = verdicts(study, "digits")
    assert [name for name, *_ in samples.winners] == ["dcgan", "vae"]
    assert "vae is the cheapest of them" in samples.remarks[0]
    assert [name for name, *_ in density.winners] == ["vae"] and "gaussian_naive_bayes" in density.remarks[1]
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
    assert (row["low"], row["high"], row["seeds"]) == (values.min(), values.max(), 3)
    assert row["value"] == pytest.approx(values.mean())
    render(tmp_path, config, tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert len([a for a in page.having("class") if a["class"] == "sortable"]) == 2
    assert "the least and the greatest of its seeds" in page.text


def test_nothing_yet_is_still_a_page(tmp_path):
    render(tmp_path, {"study": "empty", "seeds": [0]}, tmp_path / "report/index.html")
    assert "There are no runs yet." in Page((tmp_path / "report/index.html").read_text(encoding="utf-8")).text


def test_a_broken_picture_costs_one_figure_alone(tmp_path):
    config = make_study(tmp_path, bad=False)
    (tmp_path / "runs/digits/lenet/seed0/history.csv").write_text("epoch,loss\n1,<i>two</i>\n")
    render(tmp_path, config, tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert page.text.count("could not be drawn") == 1 and page.unbalanced == []


@pytest.mark.parametrize(("value", "places", "text"), [(0.98765, 3, "0.988"), (-1234.5, 1, "−1,234.5"), (np.inf, 2, "∞"), (2e-6, 3, "2e−06")])
def test_number(value, places, text):
    assert wording.number(value, places) == text


def _dump(address: str, profile) -> Page:
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
    command += ["--disable-component-update", "--disable-sync", f"--user-data-dir={profile}", "--dump-dom", address]
    return Page(subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout)


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

    linked = _dump(f"{path.as_uri()}#sort=-accuracy", tmp_path / "profile")
    assert _order(linked) == best_first[::-1] + others + references

    # A page that presses its own header: what a reader's click does.
    clicking = tmp_path / "clicking.html"
    click = "<script>document.querySelector('th[data-key=accuracy] button').click()</script>"
    clicking.write_text(text.replace("</body>", click + "</body>"), encoding="utf-8")
    clicked = _dump(clicking.as_uri(), tmp_path / "profile")
    assert _order(clicked) == best_first + others + references
    assert [a["data-key"] for a in clicked.having("aria-sort")] == ["accuracy"]
