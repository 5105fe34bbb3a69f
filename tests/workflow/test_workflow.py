"""The workflow itself on a small study, as a user runs it: what it makes, and what it makes again."""

import csv
import json
import os
import shutil

import pytest

from pofxy.study import columns
from smoke import JOB, RESULTS, rows

SMOKE = ("--configfile", "config/smoke.yaml")
MODELS = {"logistic_regression", "linear_svm", "lenet", "gaussian_naive_bayes", "vae", "dcgan"}
REFERENCES = {"real_train", "independent_pixels", "noise", "copycat", "one_per_class"}
ALL = MODELS | REFERENCES


@pytest.fixture(scope="module")
def smoke(copy_project, tmp_path_factory):
    """The smoke study, run once. Tests that edit a file put it back; those that run jobs do so in a `smoke_copy`."""
    project = copy_project(tmp_path_factory.mktemp("smoke") / "project")
    project.snakemake(*SMOKE)
    return project


@pytest.fixture
def smoke_copy(smoke, tmp_path):
    """A copy of the finished study, times and Snakemake's records included, for this test alone."""
    return type(smoke)(shutil.copytree(smoke.folder, tmp_path / "project", symlinks=True))


def to_run(project, *arguments):
    """(rule, model or "") of the jobs that a dry run would run, the target `all` aside."""
    return set(JOB.findall(project.snakemake("-n", *SMOKE, *arguments).stdout))


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


def documented(text):
    """Another comment and another first docstring."""
    return text.replace('"""', '"""Edited. ', 1) + "\n# edited\n"


def coded(text):
    """Another code, which does the same."""
    return text + "\nEDITED = True\n"


def test_the_tables_keep_their_contract(smoke):
    with (smoke.folder / RESULTS / "report/scores.csv").open() as file:
        assert file.readline() == (
            "dataset,model,family,seed,metric,value,ci_low,ci_high,higher_is_better,unit,estimator,bound,split,n,"
            "normalized_score\n"
        )
    with (smoke.folder / RESULTS / "report/runs.csv").open() as file:
        assert file.readline() == (
            "dataset,model,family,seed,status,reason,capabilities,parameters,fit_seconds,sample_seconds_per_1000,predict_ms_per_image,"
            "peak_mb,model_bytes,mlflow_run_id,predict_ms_single\n"
        )
    with (smoke.folder / RESULTS / "report/curves.csv").open() as file:
        header = "dataset,model,family,seed,curve,condition,at,draw,value,ci_low,ci_high,unit,estimator,split,n\n"
        assert file.readline() == header
    scores, runs = rows(smoke, "scores.csv"), rows(smoke, "runs.csv")
    assert {row["model"] for row in runs} == ALL | {"feature_net"} and {row["status"] for row in runs} == {"ok"}
    assert {row["model"] for row in scores} == ALL
    got = {model: {row["metric"] for row in scores if row["model"] == model} for model in ALL}
    labels = {"accuracy", "balanced_accuracy", "macro_f1", "robustness", "missing_pixels"}
    differentiable = {"auroc", "adversarial", "ood_energy"}
    classifies = labels | differentiable | {"log_loss", "brier_score", "expected_calibration_error", "ood_softmax"}
    assert got["logistic_regression"] == got["lenet"] == classifies
    assert got["linear_svm"] == labels | differentiable, "it gives scores, and no probabilities"
    samples = {"frechet_distance", "frechet_distance_infinity", "kernel_distance", "precision", "recall", "density", "coverage"}
    samples |= {"inception_score", "two_sample_test", "ndb", "distinct_classes", "class_entropy", "confident_samples"}
    samples |= {"sharpness", "brightness", "nearest_neighbor_ratio", "memorization_p_value", "authenticity"}
    conditional = samples | {"label_agreement", "train_on_synthetic", "train_on_union"}
    likelihood = {"bits_per_dim", "ood_likelihood", "ood_typicality"}
    filled = {"inpainting_error", "inpainting_labels"}
    rebuilt = {"reconstruction_mse", "psnr", "ssim", "denoising"}
    codes = {"linear_probe", "latent_knn_accuracy", "latent_nmi", "latent_ari", "latent_trustworthiness"}
    assert got["gaussian_naive_bayes"] == classifies | likelihood | conditional | filled
    assert got["vae"] == likelihood | samples | filled | rebuilt | codes | {"decoded_noise_distance"}
    assert got["dcgan"] == samples
    assert got["real_train"] == got["copycat"] == got["one_per_class"] == conditional
    assert got["independent_pixels"] == likelihood | samples | filled and got["noise"] == likelihood | samples
    for row in scores:
        assert set(row) == set(columns.SCORES)
        assert float(row["ci_low"]) <= float(row["value"]) <= float(row["ci_high"])
        assert row["unit"] and row["higher_is_better"] in ("True", "False")
        assert bool(row["bound"]) == (row["metric"] == "bits_per_dim"), "whether it is a bound, every likelihood says"
        assert row["split"] == ("train" if row["split"] == "train" and row["metric"] == "bits_per_dim" else "test"), row
        few = row["metric"].startswith("inpainting") or (row["metric"], row["split"]) == ("bits_per_dim", "train")
        judged = {"two_sample_test": 720, "ndb": 18}  # samples and test images; bins
        n = 100 if row["model"] == "vae" and few else judged.get(row["metric"], 360)  # of many passes of its net for an image
        assert int(row["n"]) == n, row
        of_images = row["metric"] in likelihood | samples - {"ood_likelihood", "ood_typicality"}
        assert row["estimator"] or not of_images or row["metric"].startswith("ood"), row
        assert not row["normalized_score"] or row["metric"] in samples, "floor and ceiling both sample, and no more"
        if row["metric"] in ("frechet_distance", "kernel_distance", "recall", "coverage"):
            fixed = {"real_train": 0, "independent_pixels": 1}
            assert float(row["normalized_score"]) == fixed.get(row["model"], pytest.approx(float(row["normalized_score"]))), row
    one_unit = {(row["dataset"], row["metric"]): set() for row in scores}
    for row in scores:
        one_unit[row["dataset"], row["metric"]].add(row["unit"])
    assert all(len(units) == 1 for units in one_unit.values()), "never two units under one name"
    estimators = [row["estimator"] for row in scores if row["model"] == "vae" and row["metric"] == "bits_per_dim"]
    assert estimators == ["IWAE-512", "IWAE-64", "ELBO"] * 2, "of test and of train"
    bounds = {row["model"]: row["bound"] for row in scores if row["metric"] == "bits_per_dim"}
    assert bounds == {"vae": "True", "gaussian_naive_bayes": "True", "independent_pixels": "False", "noise": "False"}
    for row in runs:
        assert (int(row["parameters"]) > 0) == (row["model"] != "noise"), "which has nothing to learn"
        assert float(row["fit_seconds"]) >= 0 and float(row["peak_mb"]) > 50
        assert int(row["model_bytes"]) > 0 and len(row["mlflow_run_id"]) == 32
        assert bool(row["sample_seconds_per_1000"]) == (row["model"] in ALL - {"logistic_regression", "linear_svm", "lenet"})
        assert bool(row["predict_ms_single"]) == bool(row["predict_ms_per_image"])
        # The feature net is trained, and not evaluated.
        assert bool(row["predict_ms_per_image"]) == ("predict " in row["capabilities"] + " " and row["family"] != "feature_net")


def test_every_classifier_has_its_curves(smoke):
    curves, scores = rows(smoke, "curves.csv"), rows(smoke, "scores.csv")
    accuracy = {row["model"]: float(row["value"]) for row in scores if row["metric"] == "accuracy"}
    of = {model: {row["curve"] for row in curves if row["model"] == model} for model in ALL}
    labels = {"robustness", "missing_pixels", "adversarial", "learning_curve"}
    every = labels | {"ood_energy", "ood_softmax"}
    density, filled = {"ood_likelihood", "ood_typicality"}, {"inpainting", "inpainting_labels"}
    assert of["lenet"] == of["logistic_regression"] == every and of["linear_svm"] == every - {"ood_softmax"}
    assert of["gaussian_naive_bayes"] == every | density | filled
    assert of["vae"] == density | filled | {"denoising", "latent_probe"}
    assert of["independent_pixels"] == density | filled and of["noise"] == density
    assert not of["dcgan"] | of["real_train"] | of["copycat"] | of["one_per_class"]
    for row in curves:
        assert set(row) == set(columns.CURVES) and 0 <= float(row["value"]) <= 1
        assert int(row["n"]) == (100 if row["model"] == "vae" and row["curve"].startswith("inpainting") else 360), row
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
    for metric in ("frechet_distance", "frechet_distance_infinity", "kernel_distance", "ndb"):
        assert value[floor, metric] < 0.35 * value[ceiling, metric], metric
        assert value[ceiling, metric] < value["noise", metric] or metric == "ndb", metric
    for metric in ("precision", "recall", "density", "coverage", "inception_score", "confident_samples"):
        assert value[floor, metric] > 1.2 * value[ceiling, metric] > 1.2 * value["noise", metric], metric
    assert ends[floor, "two_sample_test"][0] < 0.5 < ends[floor, "two_sample_test"][1]
    assert all(ends[floor, metric][0] < 1 < ends[floor, metric][1] for metric in ("sharpness", "brightness"))
    # A copycat has the smallest distance of all but other real images, and is caught.
    generative = MODELS & {model for model, metric in value if metric == "authenticity"}
    for model in generative | REFERENCES - {floor, "copycat"}:
        assert value["copycat", "frechet_distance"] < value[model, "frechet_distance"], model
    low, high = ends[floor, "frechet_distance"]
    assert low <= value["copycat", "frechet_distance"] <= high, "as far from the test split as real images are"
    assert value["copycat", "authenticity"] == 0 and value["copycat", "memorization_p_value"] <= 0.01
    assert value[floor, "memorization_p_value"] > 0.05 and 0.4 < value[floor, "authenticity"] < 0.65
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
            "training_samples",
            "scores.csv",
            "curves.csv",
            "pictures",
            "predictions",
            "evaluate.json",
            "logs",
        } <= found
        assert not [path for path in folder.rglob("*") if path.name.startswith(".") and path.name != ".snakemake_timestamp"]
        assert not {path.suffix for path in (folder / "model").iterdir()} & {".pkl", ".pt", ".pth"}
        assert (folder / "training_samples/samples.npy").is_file() == (model in ("vae", "dcgan")), "who learns to draw is watched"
    assert len((smoke.folder / RESULTS / "runs/digits/lenet/seed0/history.csv").read_text().splitlines()) == 1 + 3


def test_a_second_run_does_nothing_and_so_does_a_touch(smoke, smoke_copy):
    assert to_run(smoke) == set()
    assert to_run(smoke_copy) == set(), "in another folder neither"
    for path in [*smoke.folder.rglob("*.py"), *(smoke.folder / RESULTS / "data").rglob("*.npy")]:
        os.utime(path)
    assert to_run(smoke) == set()


def test_what_a_job_may_use_is_no_part_of_its_result(smoke):
    with Edited(smoke, "config/smoke.yaml", lambda text: text + "time_limit: 77\n"):
        assert to_run(smoke) == {("collect", ""), ("report", "")}, "both show the config"


@pytest.mark.parametrize(
    "name",
    [
        "pofxy/models/generative/vae.py",
        "pofxy/base/bayes.py",
        "pofxy/training/trainer.py",
        "pofxy/evaluation/intervals.py",
        "pofxy/evaluation/quantities/corruption.py",
        "scripts/train.py",
    ],
)
def test_a_comment_and_a_docstring_make_nothing_again(smoke, name):
    """A model's first docstring is shown in the report, which is rendered again; nothing else is."""
    with Edited(smoke, name, documented):
        assert to_run(smoke) <= ({("report", "")} if "models/" in name else set())


@pytest.mark.parametrize(
    "name", ["tracking/delivery.py", "tracking/__init__.py", "workflow/cost.py", "workflow/job.py", "workflow/provenance.py"]
)
def test_what_is_no_part_of_a_result_makes_nothing_again(smoke, name):
    with Edited(smoke, f"pofxy/{name}", coded):
        assert to_run(smoke) == set()


def test_editing_a_model_runs_that_model_again(smoke):
    with Edited(smoke, "pofxy/models/generative/vae.py", coded):
        assert set(to_run(smoke)) >= {("train", "vae"), ("sample", "vae"), ("evaluate", "vae")}
        assert {model for _, model in to_run(smoke)} == {"vae", ""}
        assert {rule for rule, model in to_run(smoke) if not model} == {"collect", "report"}
    assert to_run(smoke) == set()


def test_editing_a_shared_file_runs_what_imports_it_again(smoke):
    with Edited(smoke, "pofxy/training/trainer.py", coded):
        trained = {model for rule, model in to_run(smoke) if rule == "train"}
    # Those that train in steps, and those that fit in one go: fitting hands the trainer to all.
    assert trained == ALL | {"feature_net"}
    with Edited(smoke, "pofxy/storage/image_grid.py", coded):
        assert {rule for rule, _ in to_run(smoke)} == {"sample", "evaluate", "collect", "report"}
    with Edited(smoke, "pofxy/report/wording.py", coded):
        assert {rule for rule, _ in to_run(smoke)} == {"report"}
    with Edited(smoke, "pofxy/study/plan.py", coded):
        assert {rule for rule, _ in to_run(smoke)} <= {"collect", "report"}
    assert to_run(smoke) == set()


SCORES = RESULTS / "runs/digits/lenet/seed0/scores.csv"


def evaluate_lenet(project):
    """Runs what lenet's scores need; the scores by metric, and the quantities and metrics that were computed, not kept."""
    project.snakemake(SCORES, *SMOKE)
    with (project.folder / SCORES).open(newline="") as file:
        scores = {row["metric"]: float(row["value"]) for row in csv.DictReader(file)}
    return scores, json.loads((project.folder / SCORES).with_name("evaluate.json").read_text())["computed"]


def test_adding_a_metric_computes_that_metric_alone(smoke_copy):
    text = '''"""Error: the share that is wrong.\n\n    1 - accuracy\n"""\nHIGHER_IS_BETTER = False\nUNIT = "share"\n\n
def error(predict, y):\n    """1 where wrong, (N,)."""\n    return (predict != y).astype(float)\n'''
    with Edited(smoke_copy, "pofxy/evaluation/metrics/error.py", lambda _: text):
        found = to_run(smoke_copy)
        assert {rule for rule, _ in found} == {"evaluate", "collect", "report"}
        classifiers = {"logistic_regression", "linear_svm", "lenet", "gaussian_naive_bayes"}
        assert {model for rule, model in found if rule == "evaluate"} == classifiers, "those that get the metric"
        scores, computed = evaluate_lenet(smoke_copy)
        assert scores["error"] == pytest.approx(1 - scores["accuracy"])
        assert computed == ["metric error"]
    scores, computed = evaluate_lenet(smoke_copy)
    assert "error" not in scores and computed == []


def test_editing_a_probe_computes_that_probe_alone(smoke_copy):
    with Edited(smoke_copy, "pofxy/evaluation/quantities/corruption.py", coded):
        assert {rule for rule, _ in to_run(smoke_copy)} == {"evaluate", "collect", "report"}
        before = (smoke_copy.folder / SCORES).read_text()
        assert evaluate_lenet(smoke_copy)[1] == ["corruption", "metric robustness"]
        assert (smoke_copy.folder / SCORES).read_text() == before


def test_without_the_kept_values_the_scores_are_the_same(smoke_copy):
    folder = (smoke_copy.folder / SCORES).with_name("kept_values")
    before = (smoke_copy.folder / SCORES).read_text()
    assert 0 < sum(path.stat().st_size for path in folder.iterdir()) < 64e6
    shutil.rmtree(folder)
    assert to_run(smoke_copy) == set(), "they are no output"
    with Edited(smoke_copy, "pofxy/evaluation/quantities/speed.py", coded):
        assert len(evaluate_lenet(smoke_copy)[1]) > 15, "without them all is computed"
        assert (smoke_copy.folder / SCORES).read_text() == before


def test_adding_a_model_and_a_variant_runs_only_them(smoke_copy):
    text = (smoke_copy.folder / "pofxy/models/generative/gaussian_naive_bayes.py").read_text()
    more = lambda text: text.replace("vae, dcgan]", "vae, dcgan, mine, sure]") + "  sure: {of: mine, smoothing: 0.5}\n"  # noqa: E731
    with (
        Edited(smoke_copy, "pofxy/models/generative/mine.py", lambda _: text.replace("GaussianNaiveBayes", "Mine")),
        Edited(smoke_copy, "config/smoke.yaml", more),
    ):
        found = to_run(smoke_copy)
        assert {model for _, model in found} == {"mine", "sure", ""}
        assert {rule for rule, model in found if not model} == {"collect", "report"}
        smoke_copy.snakemake(*SMOKE)
        value = {(row["model"], row["metric"]): float(row["value"]) for row in rows(smoke_copy, "scores.csv")}
        assert value["mine", "accuracy"] == value["gaussian_naive_bayes", "accuracy"], "the same model, seed and data"
        assert value["sure", "log_loss"] != value["mine", "log_loss"]


def test_the_same_seed_gives_the_same_scores(smoke, project_copy):
    """Another folder, another run: the same table to the last digit."""
    project_copy.snakemake(RESULTS / "report/scores.csv", *SMOKE)
    first, second = ((project.folder / RESULTS / "report/scores.csv").read_text() for project in (smoke, project_copy))
    assert first == second


def test_snakemakes_own_report_works(smoke):
    smoke.snakemake(*SMOKE, "--report", "report.zip")
    assert (smoke.folder / "report.zip").stat().st_size > 100_000
