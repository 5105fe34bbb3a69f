"""The workflow itself on a small study, as a user runs it: what it makes, what it makes again, and how it fails."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import clean_environment
from pofxy import tables

SMOKE = ("--configfile", "config/smoke.yaml")
RESULTS = Path("results/smoke")
MODELS = {"logistic_regression", "linear_svm", "lenet", "gaussian_naive_bayes", "vae", "dcgan"}
REFERENCES = {"real_train", "independent_pixels", "noise", "copycat", "one_per_class"}
ALL = MODELS | REFERENCES


@pytest.fixture(scope="module")
def smoke(copy_project, tmp_path_factory):
    """The smoke study, run once; tests that edit the copy put it back."""
    project = copy_project(tmp_path_factory.mktemp("smoke") / "project")
    project.snakemake(*SMOKE)
    return project


def rows(project, name):
    with (project.folder / RESULTS / "report" / name).open(newline="") as file:
        return list(csv.DictReader(file))


JOB = re.compile(r"^Job \d+: (\w+)(?: (\w+) on )?", re.MULTILINE)


def to_run(project, *arguments):
    """(rule, model or "") of the jobs that a dry run would run, the target `all` aside."""
    return set(JOB.findall(project.snakemake("-n", *SMOKE, *arguments).stdout))


def models(rule, text):
    """The models that a run of Snakemake started this rule for."""
    return {model for name, model in JOB.findall(text) if name == rule}


class Edited:
    """A file of the copy with other content, for the length of a with block."""

    def __init__(self, project, name, change):
        self.path, self.change = project.folder / name, change

    def __enter__(self):
        self.before = self.path.read_text() if self.path.exists() else None
        self.path.write_text(self.change(self.before or ""))

    def __exit__(self, *_):
        if self.before is None:
            self.path.unlink()
        else:
            self.path.write_text(self.before)


def comment(text):
    return text + "\n# edited\n"


def test_the_tables_keep_their_contract(smoke):
    with (smoke.folder / RESULTS / "report/scores.csv").open() as file:
        assert (
            file.readline()
            == "dataset,model,family,seed,metric,value,ci_low,ci_high,higher_is_better,unit,estimator,split,n,position\n"
        )
    with (smoke.folder / RESULTS / "report/runs.csv").open() as file:
        assert file.readline() == (
            "dataset,model,family,seed,status,reason,verbs,parameters,fit_seconds,sample_seconds_per_1000,predict_ms_per_image,"
            "peak_mb,model_bytes,mlflow_run_id,predict_ms_single\n"
        )
    with (smoke.folder / RESULTS / "report/curves.csv").open() as file:
        columns = "dataset,model,family,seed,curve,condition,at,draw,value,ci_low,ci_high,unit,estimator,split,n\n"
        assert file.readline() == columns
    scores, runs = rows(smoke, "scores.csv"), rows(smoke, "runs.csv")
    assert {row["model"] for row in runs} == ALL | {"feature_net"} and {row["status"] for row in runs} == {"ok"}
    assert {row["model"] for row in scores} == ALL
    got = {model: {row["metric"] for row in scores if row["model"] == model} for model in ALL}
    labels = {"accuracy", "balanced_accuracy", "macro_f1", "robustness", "missing_pixels"}
    differentiable = {"auroc", "adversarial", "outliers_energy"}
    classifies = labels | differentiable | {"log_loss", "brier_score", "expected_calibration_error", "outliers_softmax"}
    assert got["logistic_regression"] == got["lenet"] == classifies
    assert got["linear_svm"] == labels | differentiable, "it gives scores, and no probabilities"
    samples = {"frechet_distance", "frechet_distance_infinity", "kernel_distance", "precision", "recall", "density", "coverage"}
    samples |= {"inception_score", "two_sample_test", "different_bins", "distinct_classes", "class_entropy", "sure_samples"}
    samples |= {"sharpness", "brightness", "nearest_neighbor_ratio", "memorisation_p_value", "authenticity"}
    conditional = samples | {"label_agreement", "train_on_synthetic", "train_on_union"}
    likelihood = {"bits_per_dim", "outliers_likelihood", "outliers_typicality"}
    filled = {"inpainting_error", "inpainting_labels"}
    rebuilt = {"reconstruction_mse", "psnr", "ssim", "denoising"}
    codes = {"linear_probe", "code_neighbors", "code_nmi", "code_ari", "code_trustworthiness"}
    assert got["gaussian_naive_bayes"] == classifies | likelihood | conditional | filled
    assert got["vae"] == likelihood | samples | filled | rebuilt | codes
    assert got["dcgan"] == samples
    assert got["real_train"] == got["copycat"] == got["one_per_class"] == conditional
    assert got["independent_pixels"] == likelihood | samples | filled and got["noise"] == likelihood | samples
    for row in scores:
        assert set(row) == set(tables.SCORES)
        assert float(row["ci_low"]) <= float(row["value"]) <= float(row["ci_high"])
        assert row["unit"] and row["higher_is_better"] in ("True", "False")
        assert row["split"] == ("train" if row["split"] == "train" and row["metric"] == "bits_per_dim" else "test"), row
        assert int(row["n"]) == 360 or row["metric"] == "different_bins", row
        of_images = row["metric"] in likelihood | samples - {"outliers_likelihood", "outliers_typicality"}
        assert row["estimator"] or not of_images or row["metric"].startswith("outliers"), row
        assert not row["position"] or row["metric"] in samples, "floor and ceiling both sample, and no more"
        if row["metric"] in ("frechet_distance", "kernel_distance", "recall", "coverage"):
            fixed = {"real_train": 0, "independent_pixels": 1}
            assert float(row["position"]) == fixed.get(row["model"], pytest.approx(float(row["position"]))), row
    one_unit = {(row["dataset"], row["metric"]): set() for row in scores}
    for row in scores:
        one_unit[row["dataset"], row["metric"]].add(row["unit"])
    assert all(len(units) == 1 for units in one_unit.values()), "never two units under one name"
    estimators = [row["estimator"] for row in scores if row["model"] == "vae" and row["metric"] == "bits_per_dim"]
    assert estimators == ["IWAE-512", "IWAE-64", "ELBO"] * 2, "of test and of train"
    for row in runs:
        assert (int(row["parameters"]) > 0) == (row["model"] != "noise"), "which has nothing to learn"
        assert float(row["fit_seconds"]) >= 0 and float(row["peak_mb"]) > 50
        assert int(row["model_bytes"]) > 0 and len(row["mlflow_run_id"]) == 32
        assert bool(row["sample_seconds_per_1000"]) == (row["model"] in ALL - {"logistic_regression", "linear_svm", "lenet"})
        assert bool(row["predict_ms_single"]) == bool(row["predict_ms_per_image"])
        # The judge is trained, not judged.
        assert bool(row["predict_ms_per_image"]) == ("predict " in row["verbs"] + " " and row["family"] != "judge")


def test_every_classifier_has_its_curves(smoke):
    curves, scores = rows(smoke, "curves.csv"), rows(smoke, "scores.csv")
    accuracy = {row["model"]: float(row["value"]) for row in scores if row["metric"] == "accuracy"}
    of = {model: {row["curve"] for row in curves if row["model"] == model} for model in ALL}
    labels = {"robustness", "missing_pixels", "adversarial", "learning_curve"}
    every = labels | {"outliers_energy", "outliers_softmax"}
    density, filled = {"outliers_likelihood", "outliers_typicality"}, {"inpainting", "inpainting_labels"}
    assert of["lenet"] == of["logistic_regression"] == every and of["linear_svm"] == every - {"outliers_softmax"}
    assert of["gaussian_naive_bayes"] == every | density | filled
    assert of["vae"] == density | filled | {"denoising", "code_probes"}
    assert of["independent_pixels"] == density | filled and of["noise"] == density
    assert not of["dcgan"] | of["real_train"] | of["copycat"] | of["one_per_class"]
    for row in curves:
        assert set(row) == set(tables.CURVES) and 0 <= float(row["value"]) <= 1 and int(row["n"]) == 360
        if row["curve"] in labels - {"learning_curve"} and float(row["at"]) == 0:
            assert float(row["value"]) == pytest.approx(accuracy[row["model"]]), "nothing is changed there"
    learned = [row for row in curves if row["curve"] == "learning_curve" and row["model"] == "logistic_regression"]
    assert [(float(row["at"]), row["draw"]) for row in learned] == [(1, "0"), (5, "0"), (1, "1"), (5, "1"), (125.7, "0")]
    assert float(learned[-1]["value"]) == accuracy["logistic_regression"]
    how = {row["model"]: row["condition"] for row in curves if row["curve"] == "missing_pixels"}
    assert [model for model, condition in how.items() if condition == "exact marginal"] == ["gaussian_naive_bayes"]


def test_the_scores_mean_what_they_say(smoke):
    """Even a few steps of training, on real digits: the classifiers have learned, and the floor lies below the ceiling."""
    value = {(row["model"], row["metric"]): float(row["value"]) for row in rows(smoke, "scores.csv")}
    assert value["logistic_regression", "accuracy"] > 0.93 and value["gaussian_naive_bayes", "accuracy"] > 0.85


def test_the_references_are_what_the_measures_say_of_them(smoke):
    """The metrics' own test: what each reference is made to be, each measure must see."""
    table = [row for row in rows(smoke, "scores.csv") if row["split"] == "test"]
    value = {(row["model"], row["metric"]): float(row["value"]) for row in table}
    ends = {(row["model"], row["metric"]): (float(row["ci_low"]), float(row["ci_high"])) for row in table}
    floor, ceiling = "real_train", "independent_pixels"
    assert value[floor, "two_sample_test"] < 0.6 < 0.8 < value[ceiling, "two_sample_test"] < value["noise", "two_sample_test"]
    for metric in ("frechet_distance", "frechet_distance_infinity", "kernel_distance", "different_bins"):
        assert value[floor, metric] < 0.35 * value[ceiling, metric], metric
        assert value[ceiling, metric] < value["noise", metric] or metric == "different_bins", metric
    for metric in ("precision", "recall", "density", "coverage", "inception_score", "sure_samples"):
        assert value[floor, metric] > 1.2 * value[ceiling, metric] > 1.2 * value["noise", metric], metric
    assert ends[floor, "two_sample_test"][0] < 0.5 < ends[floor, "two_sample_test"][1]
    assert all(ends[floor, metric][0] < 1 < ends[floor, metric][1] for metric in ("sharpness", "brightness"))
    # A copycat has the smallest distance of all but other real images, and is caught.
    generative = MODELS & {model for model, metric in value if metric == "authenticity"}
    for model in generative | REFERENCES - {floor, "copycat"}:
        assert value["copycat", "frechet_distance"] < value[model, "frechet_distance"], model
    low, high = ends[floor, "frechet_distance"]
    assert low <= value["copycat", "frechet_distance"] <= high, "as far from the test split as real images are"
    assert value["copycat", "authenticity"] == 0 and value["copycat", "memorisation_p_value"] <= 0.01
    assert value[floor, "memorisation_p_value"] > 0.05 and 0.4 < value[floor, "authenticity"] < 0.65
    # One image of each class: faithful, and of no variety.
    assert value["one_per_class", "precision"] > 0.9 and value["one_per_class", "recall"] < 0.1
    assert value["one_per_class", "coverage"] < 0.3 * value[floor, "coverage"]
    assert value["one_per_class", "train_on_synthetic"] < 0.8 < value[floor, "train_on_synthetic"]
    assert value["real_train", "label_agreement"] > 0.9


def test_every_run_leaves_its_files(smoke):
    for model in ALL:
        folder = smoke.folder / RESULTS / f"runs/digits/{model}/seed0"
        found = {path.name for path in folder.iterdir()}
        assert {
            "model",
            "history.csv",
            "train.json",
            "scores.csv",
            "curves.csv",
            "pictures",
            "predictions",
            "evaluate.json",
            "logs",
        } <= found
        assert not [path for path in folder.rglob("*") if path.name.startswith(".") and path.name != ".snakemake_timestamp"]
        assert not {path.suffix for path in (folder / "model").iterdir()} & {".pkl", ".pt", ".pth"}
    assert len((smoke.folder / RESULTS / "runs/digits/lenet/seed0/history.csv").read_text().splitlines()) == 1 + 3


def test_a_second_run_does_nothing_and_so_does_a_touch(smoke):
    assert to_run(smoke) == set()
    for path in [*smoke.folder.rglob("*.py"), *(smoke.folder / RESULTS / "data").rglob("*.npy")]:
        os.utime(path)
    assert to_run(smoke) == set()


def test_what_a_job_may_use_is_no_part_of_its_result(smoke):
    with Edited(smoke, "config/smoke.yaml", lambda text: text + "time_limit: 77\n"):
        assert to_run(smoke) == {("collect", ""), ("report", "")}, "both show the config"


def test_editing_a_model_runs_that_model_again(smoke):
    with Edited(smoke, "scripts/pofxy/models/generative/vae.py", comment):
        assert set(to_run(smoke)) >= {("train", "vae"), ("sample", "vae"), ("evaluate", "vae")}
        assert {model for _, model in to_run(smoke)} == {"vae", ""}
        assert {rule for rule, model in to_run(smoke) if not model} == {"collect", "report"}
    assert to_run(smoke) == set()


def test_editing_a_shared_file_runs_what_imports_it_again(smoke):
    with Edited(smoke, "scripts/pofxy/training.py", comment):
        trained = {model for rule, model in to_run(smoke) if rule == "train"}
    # Those that train in steps, and those that fit in one go: fitting hands the trainer to all.
    assert trained == ALL | {"feature_net"}
    with Edited(smoke, "scripts/pofxy/pictures.py", comment):
        assert {rule for rule, _ in to_run(smoke)} == {"sample", "evaluate", "collect", "report"}
    with Edited(smoke, "scripts/pofxy/report/chart.py", comment):
        assert {rule for rule, _ in to_run(smoke)} == {"report"}
    with Edited(smoke, "scripts/pofxy/plan.py", comment):
        assert {rule for rule, _ in to_run(smoke)} <= {"collect", "report"}
    with Edited(smoke, "scripts/pofxy/tracking/delivery.py", comment):
        assert to_run(smoke) == set()


def test_adding_a_metric_runs_evaluate_and_nothing_before_it(smoke):
    text = '''"""Error: the share that is wrong.\n\n    1 - accuracy\n"""\nHIGHER_IS_BETTER = False\nUNIT = "share"\n\n
def error(predict, y):\n    """1 where wrong, (N,)."""\n    return (predict != y).astype(float)\n'''
    scores = RESULTS / "runs/digits/lenet/seed0/scores.csv"
    with Edited(smoke, "scripts/pofxy/metrics/error.py", lambda _: text):
        found = to_run(smoke)
        assert {rule for rule, _ in found} == {"evaluate", "collect", "report"}
        assert {model for rule, model in found if rule == "evaluate"} == ALL
        smoke.snakemake(scores, *SMOKE)
        with (smoke.folder / scores).open(newline="") as file:
            value = {row["metric"]: float(row["value"]) for row in csv.DictReader(file)}
        assert value["error"] == pytest.approx(1 - value["accuracy"])
    smoke.snakemake(*SMOKE)
    assert "error" not in {row["metric"] for row in rows(smoke, "scores.csv")}


def test_adding_a_model_and_a_variant_runs_only_them(smoke):
    text = (smoke.folder / "scripts/pofxy/models/generative/gaussian_naive_bayes.py").read_text()
    more = lambda text: text.replace("vae, dcgan]", "vae, dcgan, mine, sure]") + "  sure: {of: mine, smoothing: 0.5}\n"  # noqa: E731
    with (
        Edited(smoke, "scripts/pofxy/models/generative/mine.py", lambda _: text.replace("GaussianNaiveBayes", "Mine")),
        Edited(smoke, "config/smoke.yaml", more),
    ):
        found = to_run(smoke)
        assert {model for _, model in found} == {"mine", "sure", ""}
        assert {rule for rule, model in found if not model} == {"collect", "report"}
        smoke.snakemake(*SMOKE)
        value = {(row["model"], row["metric"]): float(row["value"]) for row in rows(smoke, "scores.csv")}
        assert value["mine", "accuracy"] == value["gaussian_naive_bayes", "accuracy"], "the same model, seed and data"
        assert value["sure", "log_loss"] != value["mine", "log_loss"]
    smoke.snakemake(*SMOKE)


def test_the_same_seed_gives_the_same_scores(smoke, project_copy):
    """Another folder, another run: the same table to the last digit."""
    project_copy.snakemake(*SMOKE)
    first, second = ((project.folder / RESULTS / "report/scores.csv").read_text() for project in (smoke, project_copy))
    assert first == second


def test_snakemakes_own_report_works(smoke):
    smoke.snakemake(*SMOKE, "--report", "report.zip")
    assert (smoke.folder / "report.zip").stat().st_size > 100_000


BROKEN = '''"""Broken: a model that does what the test asks of it.

Reference: none.
"""

import math
import time

import torch
from torch import nn

from pofxy.training import Player


class {name}(nn.Module):
    def build(self, spec):
        self.weight = nn.Parameter(torch.zeros(1))

    def fit(self, data, trainer):
        self.build(data.spec)
        {work}

    def predict(self, x):
        return torch.zeros(len(x), dtype=torch.int64)
'''
BREAKS = {
    "raises": ("raise RuntimeError('no <b>luck</b>')", "failed", "train: RuntimeError: no <b>luck</b>"),
    "diverges": (
        "trainer.run(self, data, [Player(lambda x, y: self.weight.sum() * math.nan, self.parameters(), 1.0)], steps=5, batch=9)",
        "failed",
        "train: Diverged: loss is nan in epoch 1 of 1",
    ),
    "stumbles": (
        "if len(data.x) < 200:\n            raise RuntimeError('too few')",
        "failed",
        "learn: RuntimeError: too few",
    ),
    "dawdles": ("time.sleep(600)", "timeout", "train: TimeLimitExceeded: not done after the time limit of 2 s"),
}


def test_a_failing_model_takes_only_its_own_row_with_it(project_copy):
    folder = project_copy.folder
    for name, (work, _, _) in BREAKS.items():
        path = folder / f"scripts/pofxy/models/discriminative/{name}.py"
        path.write_text(BROKEN.replace("{name}", name.title()).replace("{work}", work))
    (folder / "study.yaml").write_text(
        "study: broken\nresults: results/smoke\ndatasets: [digits]\n"
        "models: [logistic_regression, raises, diverges, stumbles, dawdles]\n"
        "settings:\n  dawdles: {time_limit: 2}\n"
    )
    study = ("--configfile", "study.yaml")
    found = project_copy.snakemake(*study, check=False)
    assert found.returncode != 0
    lines = [line for line in found.stdout.splitlines() if line.startswith("pofxy: ")]
    for name, (_, _, reason) in BREAKS.items():
        assert any(name in line and reason.partition(": ")[2] in line for line in lines), found.stdout
        log = folder / RESULTS / f"runs/digits/{name}/seed0/logs/{reason.partition(':')[0]}.log"
        assert "Traceback" in log.read_text()
    table = {row["model"]: row for row in rows(project_copy, "runs.csv")}
    assert table["logistic_regression"]["status"] == "ok"
    for name, (_, status, reason) in BREAKS.items():
        assert (table[name]["status"], table[name]["reason"]) == (status, reason)
    assert {row["model"] for row in rows(project_copy, "scores.csv")} == {"logistic_regression"}
    page = (folder / RESULTS / "report/index.html").read_text()
    assert "no &lt;b&gt;luck&lt;/b&gt;" in page and "<b>luck</b>" not in page
    assert "partial" in page.lower()

    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{(folder / RESULTS / 'mlflow.db').resolve()}")
    for name in table:
        assert client.get_run(table[name]["mlflow_run_id"]).info.status == (
            "FINISHED" if name == "logistic_regression" else "FAILED"
        )

    # Mended, only what failed runs again, and the report is whole.
    for name in BREAKS:
        path = folder / f"scripts/pofxy/models/discriminative/{name}.py"
        path.write_text(BROKEN.replace("{name}", name.title()).replace("{work}", "pass"))
    found = project_copy.snakemake(*study)
    assert models("train", found.stdout) == set(BREAKS)
    assert {row["status"] for row in rows(project_copy, "runs.csv")} == {"ok"}
    assert {row["model"] for row in rows(project_copy, "scores.csv")} == {"logistic_regression", *BREAKS}
    assert "partial" not in (folder / RESULTS / "report/index.html").read_text().lower()

    # Broken again, it has no scores: those of the run before are still on the disk, and are not its own.
    path.write_text(BROKEN.replace("{name}", name.title()).replace("{work}", "raise RuntimeError('again')"))
    assert project_copy.snakemake(*study, check=False).returncode != 0
    table = {row["model"]: row for row in rows(project_copy, "runs.csv")}
    assert (table[name]["status"], table[name]["reason"]) == ("failed", "train: RuntimeError: again")
    assert not table[name]["predict_ms_per_image"]
    assert name not in {row["model"] for row in rows(project_copy, "scores.csv")}
    assert [row["status"] for row in table.values()].count("ok") == 4


def test_a_failure_that_is_not_mended_is_tried_again_alone(project_copy):
    folder = project_copy.folder
    path = folder / "scripts/pofxy/models/discriminative/raises.py"
    path.write_text(BROKEN.replace("{name}", "Raises").replace("{work}", BREAKS["raises"][0]))
    (folder / "study.yaml").write_text(
        "study: broken\nresults: results/smoke\ndatasets: [digits]\nmodels: [logistic_regression, raises]\n"
    )
    for _ in range(2):
        found = project_copy.snakemake("--configfile", "study.yaml", check=False)
        assert found.returncode != 0
    assert models("train", found.stdout) == {"raises"}
    # Left out, nothing is to be trained, and the report is whole again.
    (folder / "study.yaml").write_text(
        "study: broken\nresults: results/smoke\ndatasets: [digits]\nmodels: [logistic_regression]\n"
    )
    found = project_copy.snakemake("--configfile", "study.yaml")
    assert not models("train", found.stdout)
    assert "partial" not in (folder / RESULTS / "report/index.html").read_text().lower()


def test_a_data_set_that_cannot_be_read_takes_its_runs_with_it_and_the_report_says_so(project_copy):
    folder = project_copy.folder
    (folder / "mine").mkdir()
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"):
        (folder / "mine" / name).write_bytes(b"no images")
    (folder / "study.yaml").write_text(
        "study: torn\nresults: results/smoke\ndatasets: [digits, 'idx:mine']\nmodels: [logistic_regression]\n"
    )
    found = project_copy.snakemake("--configfile", "study.yaml", check=False)
    assert found.returncode != 0
    assert "Traceback" not in found.stdout
    (line,) = [line for line in found.stdout.splitlines() if line.startswith("pofxy: results/smoke/data/mine")]
    assert "train-images-idx3-ubyte" in line
    table = {row["dataset"]: row for row in rows(project_copy, "runs.csv")}
    assert table["digits"]["status"] == "ok"
    assert table["mine"]["reason"].startswith("data set mine: preprocess: DatasetError: ")
    page = (folder / RESULTS / "report/index.html").read_text()
    assert "partial" in page.lower()
    assert "data set mine" in page


def test_a_wrong_config_ends_in_one_line_before_any_job(project_copy):
    (project_copy.folder / "study.yaml").write_text("study: wrong\ndatasets: [digits]\nmodels: [lenett]\n")
    found = project_copy.snakemake("--configfile", "study.yaml", check=False)
    assert found.returncode != 0
    assert "pofxy: models: unknown model 'lenett'; did you mean 'lenet'?" in found.stdout
    assert "Traceback" not in found.stdout and not (project_copy.folder / "results").exists()


LONG = """study: long
results: results/smoke
datasets: [digits]
models: [logistic_regression, lenet]
settings:
  lenet: {steps: STEPS}
"""


@pytest.mark.parametrize(("number", "steps"), [(signal.SIGINT, 100_000), (signal.SIGTERM, 9000)], ids=["Ctrl-C", "SIGTERM"])
def test_an_interrupted_run_goes_on_where_it_was(number, steps, project_copy):
    """Ctrl-C ends every process at once; SIGTERM lets Snakemake finish the jobs that run. No finished step is done twice."""
    study = project_copy.folder / "study.yaml"
    study.write_text(LONG.replace("STEPS", str(steps)))
    process = subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "study.yaml"],
        cwd=project_copy.folder,
        env=clean_environment(),
        text=True,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    runs = project_copy.folder / RESULTS / "runs/digits"
    quick, slow = runs / "logistic_regression/seed0", runs / "lenet/seed0"
    ended = [quick / f"logs/{rule}.tsv" for rule in ("evaluate", "learn")]
    wait_for(lambda: all(path.exists() for path in ended) and "epoch" in text_of(slow / "logs/train.log"))
    # Snakemake 9.27 answers SIGTERM under a lock that it may hold itself while one job ends and the next begins, and then it
    # hangs: the signal comes when nothing but the training is going on.
    time.sleep(2)
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    process.communicate(timeout=120)
    assert process.returncode != 0
    wait_for(lambda: not still_running(project_copy.folder))
    assert not (slow / "failure.json").exists()
    done = {path.name for path in slow.iterdir()}
    assert "scores.csv" not in done and ("model" in done) == (number == signal.SIGTERM)

    if number == signal.SIGINT:
        study.write_text(LONG.replace("STEPS", "40"))
    found = project_copy.snakemake("--configfile", "study.yaml")
    assert models("train", found.stdout) == ({"lenet"} if number == signal.SIGINT else set())
    assert models("evaluate", found.stdout) == {"lenet"}
    assert {row["status"] for row in rows(project_copy, "runs.csv")} == {"ok"}


def still_running(folder):
    """Processes whose working directory is the study's."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cwd"):
        try:
            found += [path] if path.readlink() == folder else []
        except OSError:
            continue
    return found


def text_of(path):
    return path.read_text() if path.exists() else ""


def wait_for(ready, seconds=120):
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "it did not come to this"
        time.sleep(0.2)


def test_what_a_dead_server_did_not_take_is_sent_by_the_next_run(project_copy):
    """The training costs nothing but a warning; a run that has nothing else to do sends what was kept."""
    (project_copy.folder / "study.yaml").write_text(
        "study: dead\nresults: results/smoke\ndatasets: [digits]\nmodels: [logistic_regression]\n"
    )
    study, tracking = ("--configfile", "study.yaml"), project_copy.folder / RESULTS / "tracking"
    project_copy.snakemake(*study, MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert list((tracking / "outbox").glob("*.json"))
    assert [row["mlflow_run_id"] for row in rows(project_copy, "runs.csv")] == [""]

    found = project_copy.snakemake(*study)
    assert {rule for rule, _ in JOB.findall(found.stdout)} == {"deliver"}
    assert not list((tracking / "outbox").glob("*.json"))
    assert not (tracking / "rejected").exists()

    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{(project_copy.folder / RESULTS / 'mlflow.db').resolve()}")
    runs = client.search_runs([client.get_experiment_by_name("digits").experiment_id])
    assert {(run.info.run_name, run.info.status) for run in runs} == {
        ("dead", "FINISHED"),
        ("logistic_regression seed0", "FINISHED"),
    }
    assert "Nothing to be done" in project_copy.snakemake(*study).stdout


def test_threads_and_seeds_come_from_the_config(project_copy):
    """Two seeds of a model that asks for two threads: torch obeys, and each seed has its own run."""
    path = project_copy.folder / "scripts/pofxy/models/discriminative/counts.py"
    path.write_text(BROKEN.replace("{name}", "Counts").replace("{work}", "self.weight.data.fill_(torch.get_num_threads())"))
    (project_copy.folder / "study.yaml").write_text(
        "study: threads\nresults: results/smoke\ndatasets: [digits]\nmodels: [counts, two]\nseeds: [0, 5]\n"
        "settings:\n  two: {of: counts, threads: 2}\n"
    )
    project_copy.snakemake("--configfile", "study.yaml")
    from safetensors.numpy import load_file

    for model, threads in (("counts", 1), ("two", 2)):
        for seed in (0, 5):
            folder = project_copy.folder / RESULTS / f"runs/digits/{model}/seed{seed}/model"
            assert [float(array[0]) for array in load_file(folder / "model.safetensors").values()] == [threads]
            assert json.loads((folder / "model.json").read_text())["of"] == "counts"
    assert len(rows(project_copy, "runs.csv")) == 4
