"""The catalog, the plan and the config: what exists, what is going to run, and what the error of a wrong config says."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pofxy.base.hyperparameters import default_hyperparameters
from pofxy.base.tags import tags_of
from pofxy.storage.models import model_class
from pofxy.study import catalog, plan, source
from pofxy.study import config as study_config

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "torchvision", "mlflow", "sklearn", "scipy", "matplotlib", "safetensors", "skops", "PIL"}


CONFIG = {"study": "s", "datasets": ["digits"]}
MODELS = catalog.models()


def checked(tmp_path, text="", **config):
    file = tmp_path / "study.yaml"
    file.write_text(text or "study: s")
    return study_config.check(CONFIG | config, ROOT / "config/schema.yaml", [str(file)])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"sedes": [1]}, "sedes: unknown key; did you mean 'seeds'?"),
        ({"seeds": "one"}, "seeds: 'one' is not valid: a list of whole numbers, each once"),
        ({"seeds": [1, 1]}, "seeds: [1, 1] is not valid"),
        ({"models": ["lenett"]}, "models: unknown model 'lenett'; did you mean 'lenet'?"),
        ({"exclude": ["vaee"]}, "exclude: unknown model 'vaee'; did you mean 'vae'?"),
        ({"models": ["real_train"]}, "models: unknown model 'real_train'"),
        ({"datasets": ["digit"]}, "datasets: unknown data set 'digit'; did you mean 'digits'?"),
        ({"datasets": {"mine": {"of": "idx", "folder": "x"}}}, "datasets.mine: unknown argument 'folder'"),
        ({"datasets": ["idx:a/mine", "idx:b/mine"]}, "datasets: two folders have one name"),
        ({"settings": {"vae": {"betta": 4}}}, "settings.vae: unknown argument 'betta'; did you mean 'beta'?"),
        ({"settings": {"vae": {"beta": "four"}}}, "settings.vae.beta: 'four' is not of type float"),
        ({"settings": {"vae": {"steps": 1.5}}}, "settings.vae.steps: 1.5 is not of type int"),
        ({"settings": {"vae": {"steps": True}}}, "settings.vae.steps: True is not of type int"),
        ({"settings": {"vae": {"threads": 0}}}, "settings.vae.threads: 0 is not valid: a whole number of threads"),
        ({"settings": {"mine": {"of": "vea"}}}, "settings.mine: unknown model 'vea'; did you mean 'vae'?"),
        ({"settings": {"lenet": {"of": "vae"}}}, "settings.lenet: a variant needs a name of its own"),
        (
            {"settings": {"mine": {"of": "lenet", "calibrate": "platt"}}},
            "settings.mine.calibrate: 'platt' is not valid: how its probabilities are calibrated on val, 'temperature' or",
        ),
        (
            {"settings": {"mine": {"of": "linear_svm", "calibrate": "isotonic"}}},
            "settings.mine.calibrate: linear_svm cannot be calibrated: it has no predict_proba",
        ),
        (
            {"settings": {"oracle": {"calibrate": "isotonic"}}},
            "settings.oracle.calibrate: oracle cannot be calibrated: it is no discriminative or generative model",
        ),
        ({"models": ["vae"], "exclude": ["vae"]}, "models: nothing is left to train after 'exclude'"),
        ({"study": "a b"}, "study: 'a b' is not valid"),
        ({"split": {"test": 2}}, "split.test: 2 is not valid: the share for test"),
        ({"learning_curve": {"models": ["knn"]}}, "learning_curve.models: unknown model 'knn'"),
        ({"learning_curve": {"models": "fast"}}, "learning_curve.models: 'fast' is not valid: 'quick' (all but"),
        ({"learning_curve": {"sizes": [0]}}, "learning_curve.sizes.0: 0 is not valid"),
        ({"outliers": {}}, "outliers: unknown key; it is called 'ood_datasets' now"),
        ({"settings": {"vae": {"codes": 4}}}, "settings.vae: unknown argument 'codes'; it is called 'latent_dim' now"),
        ({"settings": {"lenet": {"shift": 0.1}}}, "settings.lenet: unknown argument 'shift'; it is called 'translate' now"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_config_is_told_the_key_the_cause_and_the_nearest_name(config, message, tmp_path):
    with pytest.raises(plan.ConfigError) as error:
        checked(tmp_path, **config)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_two_variants_of_one_name_are_found_in_the_text(tmp_path):
    text = "settings:\n  mine: {of: vae}\n  mine: {of: lenet}\n"
    with pytest.raises(plan.ConfigError, match=r"study\.yaml: 'mine' stands twice, on lines 2 and 3"):
        checked(tmp_path, text)


def test_names_lists_variants_and_seeds_make_the_runs(tmp_path):
    config = checked(
        tmp_path,
        datasets={"digits": None, "mine": "idx:some/where", "other": {"of": "idx", "path": "else/where"}},
        exclude=["dcgan"],
        seeds=[0, 3],
        settings={"vae_beta4": {"of": "vae", "beta": 4, "threads": 2}},
    )
    runs = plan.runs(config)
    names = {run.model for run in runs if run.family in ("discriminative", "generative")}
    every = {name for name, entry in catalog.models().items() if entry.family in ("discriminative", "generative")}
    assert names == every - {"dcgan"} | {"vae_beta4"}
    assert {run.dataset for run in runs} == {"digits", "mine", "other"}
    variant = [run for run in runs if run.model == "vae_beta4" and run.dataset == "mine"]
    assert [(run.of, run.family, run.seed) for run in variant] == [("vae", "generative", 0), ("vae", "generative", 3)]
    assert plan.hyperparameters(config, "vae_beta4") == {"beta": 4}
    assert len({run.key for run in runs}) == len(runs)
    assert [run.seed for run in runs if run.family == "feature_net" and run.dataset == "mine"] == [0], (
        "one feature net for all seeds"
    )


def test_without_a_sampler_there_is_no_feature_net_and_no_reference(tmp_path):
    runs = plan.runs(checked(tmp_path, models=["lenet", "logistic_regression"]))
    assert {run.family for run in runs} == {"discriminative"}


def test_a_calibrated_variant_only_classifies_and_has_no_learning_curve_of_its_own(tmp_path):
    settings = {
        "net": {"of": "lenet", "steps": 9, "calibrate": "temperature"},
        "bayes": {"of": "gaussian_naive_bayes", "calibrate": "isotonic"},
    }
    config = checked(tmp_path, models=["lenet", "net", "bayes"], settings=settings)
    runs = {run.model: run for run in plan.runs(config)}
    assert set(runs) == {"lenet", "net", "bayes"}, "no model is sampled, so no feature net is needed"
    assert runs["net"].capabilities == ("predict", "decision_function", "predict_proba")
    assert runs["net"].calibrate == "temperature"
    assert runs["bayes"].capabilities == ("predict", "predict_proba") and runs["lenet"].calibrate == ""
    assert plan.hyperparameters(config, "net") == {"steps": 9}
    assert [name for name, run in runs.items() if plan.learns(config, run)] == ["lenet"]
    named = config | {"learning_curve": {"models": ["bayes"]}}
    assert [name for name, run in runs.items() if plan.learns(named, run)] == ["bayes"]


def test_a_calibrated_variant_takes_the_model_with_the_same_fit():
    settings = {
        "net": {"of": "lenet", "steps": 9, "calibrate": "temperature", "threads": 2},
        "long": {"of": "lenet", "steps": 90},
        "short": {"of": "lenet", "steps": 9},
        "other": {"of": "lenet", "steps": 9, "calibrate": "isotonic"},
    }
    names = ["lenet", *settings]
    assert plan.uncalibrated(settings, "net", names) == plan.uncalibrated(settings, "other", names) == "short"
    assert plan.uncalibrated(settings, "net", ["lenet", "long", "net", "other"]) is None
    assert plan.uncalibrated(settings, "short", names) is None
    assert plan.uncalibrated({"forest": {"of": "random_forest", "calibrate": "isotonic"}}, "forest", MODELS) == "random_forest"


def test_evaluations_say_why_not():
    found = catalog.evaluations(("predict",))
    assert found["accuracy"] == "" and found["log_loss"] == "no predict_proba"
    assert found["bits_per_dim"] == "no log_prob, log_weight, log_prob_bound or log_unnormalized"
    assert found["frechet_distance"] == "no sample"


def test_a_table_is_for_models_that_take_one_and_a_known_distribution_brings_its_oracle(tmp_path):
    runs = plan.runs(checked(tmp_path, datasets=["digits", "gaussians", "known_images"]))
    models = {name: {run.model for run in runs if run.dataset == name} for name in ("digits", "gaussians", "known_images")}
    pictures = {name for name, entry in catalog.models().items() if entry.tags.images_only}
    assert {"vae", "dcgan", "lenet", "alexnet", "vgg", "resnet", "independent_pixels"} <= pictures
    assert models["known_images"] == models["digits"] | {"oracle"}
    assert models["gaussians"] == models["digits"] - pictures | {"oracle"}
    assert models["gaussians"] >= {"logistic_regression", "random_forest", "gaussian_naive_bayes", "noise", "real_train"}


def test_a_data_set_that_no_model_can_take_is_named(tmp_path):
    with pytest.raises(plan.ConfigError, match="models: none of them can be fitted to gaussians: they need images"):
        plan.runs(checked(tmp_path, datasets=["digits", "gaussians"], models=["lenet", "vae"]))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"ood_datasets": {"digits": "zzz"}}, "ood_datasets: unknown data set 'zzz'; there is: digits, gaussians"),
        ({"ood_datasets": {"digits": "gaussians"}}, "ood_datasets: gaussians is a table; out-of-distribution images are images"),
    ],
)
def test_the_data_sets_of_ood_images_are_checked(tmp_path, config, message):
    with pytest.raises(plan.ConfigError, match=message):
        plan.ood_datasets(checked(tmp_path, datasets=["digits", "gaussians"], **config), "digits")
    assert plan.ood_datasets(
        checked(tmp_path, datasets=["digits", "known_images"], ood_datasets={"digits": "known_images"}), "digits"
    ) == ["known_images"]


def test_weights_of_the_standard_feature_net_are_a_file_or_a_download(tmp_path):
    assert plan.weights(checked(tmp_path)) == plan.weights(checked(tmp_path, inception="download")) == []
    with pytest.raises(plan.ConfigError, match=r"inception: there is no nowhere\.pth"):
        plan.weights(checked(tmp_path, inception="nowhere.pth"))
    (tmp_path / "net.pth").touch()
    assert plan.weights(checked(tmp_path, inception=str(tmp_path / "net.pth"))) == [str(tmp_path / "net.pth")]


def test_tags_are_found_where_they_are_inherited():
    known = catalog.models()
    assert known["lenet"].tags.images_only and not known["mlp"].tags.images_only
    assert known["gaussian_naive_bayes"].tags.discriminative_counterpart == "logistic_regression"
    assert known["oracle"].tags.needs_known_distribution and known["glow"].tags.likelihood == "density"
    data = catalog.datasets()
    assert data["gaussians"].table and data["gaussians"].distribution == "gaussians" and not data["digits"].table


@pytest.mark.parametrize("name", catalog.models())
def test_the_catalog_reads_what_the_class_says(name):
    """Read from the text and from the class itself: capabilities, tags and hyperparameters are the same."""
    entry = catalog.models()[name]
    kind = model_class(entry.family, name)
    assert kind.__name__ == entry.public and tags_of(kind) == entry.tags
    assert set(entry.capabilities) == {able for able in catalog.capabilities() if callable(getattr(kind, able, None))}
    assert {key: parameter.default for key, parameter in entry.parameters.items()} == default_hyperparameters(kind)
    assert entry.tags.trained_in_steps == ("steps" in entry.parameters)


def test_the_chain_leads_from_capabilities_and_facts_to_the_metric():
    chains = {name: [catalog.chain(part) for part in entry.dependencies] for name, entry in catalog.metrics().items()}
    log_joint = "log_joint(model.log_joint, x)?"
    probabilities = f"predict_proba(model.predict_proba, x, {log_joint})?"
    assert chains["accuracy"] == [f"predict(model.predict, x, {probabilities})", "y"]
    assert chains["auroc"][0] == f"class_scores(model.predict_proba|decision_function, x, {probabilities})"
    assert chains["sharpness"] == ["sample_pixels(model.sample, samples)", "test_pixels(x, seed, samples?)"]


def test_needs_follow_the_graph_of_quantities():
    metrics = catalog.metrics()
    assert catalog.needs(metrics["auroc"].dependencies) == ("predict_proba", "decision_function")
    assert catalog.all_needs(metrics["decoded_noise_distance"].dependencies) == [("decode",), ("encode",)]
    assert catalog.depends_on(metrics["precision"].dependencies, "feature_net")
    assert not catalog.depends_on(metrics["accuracy"].dependencies, "feature_net")


GOOD = """from pofxy.base.tags import Tags
from pofxy.base.bayes import BayesRuleMixin


class Good(BayesRuleMixin):
    tags: Tags = Tags(likelihood="density")

    def __init__(self, width: int = 3):
        self.width = width

    def fit(self, data, trainer):
        pass

    def log_joint(self, x):
        return x
"""


@pytest.fixture
def made_package(tmp_path, monkeypatch):
    """A package of the foundations alone, to which a test adds files of its own."""
    package = tmp_path / "pofxy"
    shutil.copytree(source.PACKAGE / "base", package / "base")
    (package / "models/generative").mkdir(parents=True)
    for module in (catalog, source):
        monkeypatch.setattr(module, "PACKAGE", package)
    caches = [value for value in vars(catalog).values() if hasattr(value, "cache_clear")]
    for cached in caches:
        cached.cache_clear()
    yield package
    for cached in caches:
        cached.cache_clear()


def test_annotated_tags_are_read(made_package):
    (made_package / "models/generative/good.py").write_text(GOOD)
    entry = catalog.models()["good"]
    assert entry.tags.likelihood == "density" and entry.parameters["width"].default == 3
    assert entry.capabilities == ("predict", "predict_proba", "log_joint", "log_prob")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("class Good(BayesRuleMixin)", "class Good"), None),
        (("class Good", "class Good(:"), "line 5: invalid syntax"),
        (
            ("    def fit(self, data, trainer):\n        pass\n", ""),
            "exactly one public class with a `fit` method is needed, 0 found",
        ),
        (('Tags(likelihood="density")', "Tags(likelihood=KIND)"), "line 6: Tags(likelihood=...) must be a literal"),
        (('Tags(likelihood="density")', "TAGS"), "line 6: tags: write tags = Tags(...) with literal arguments"),
        (('Tags(likelihood="density")', 'Tags(measure="density")'), "line 6: Tags has no measure; it has"),
        (
            ("    def fit", "    images_only = True\n\n    def fit"),
            "line 11: `images_only` is a tag: write tags = Tags(images_only=...)",
        ),
        (("(BayesRuleMixin)", "(bayes.BayesRuleMixin)"), "line 5: the base class `bayes.BayesRuleMixin`: import it by its name"),
        (("from pofxy.base.bayes import", "from ...base.bayes import"), "line 2: a relative import: write from pofxy"),
        (("bayes import BayesRuleMixin", "bayes import *"), "line 2: from pofxy.base.bayes import *: name what is imported"),
        (("width: int = 3", "**settings"), "line 8: __init__ takes * or ** arguments"),
        (
            ("    def log_joint(self, x):\n        return x", "    log_joint = some_function"),
            "line 14: the capability `log_joint` is assigned",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_catalog_cannot_read_it_refuses_with_file_and_line(made_package, change, message):
    text = (
        GOOD.replace("from pofxy.base.bayes", "from pofxy.base import bayes\nfrom pofxy.base.bayes")
        if "(bayes." in change[1]
        else GOOD
    )
    path = made_package / "models/generative/good.py"
    path.write_text(text.replace(*change))
    if message is None:
        assert catalog.models()["good"].capabilities == ("log_joint",)
        return
    with pytest.raises(ValueError, match=r"good\.py") as error:
        catalog.models()
    expected = message.replace("line 5: the base", "line 6: the base")
    assert expected in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("@quantity\ndef f(x):\n    return x\n", "line 2: write @quantity(...), with parentheses"),
        ("@quantity(rows=ROWS)\ndef f(x):\n    return x\n", "line 2: quantity(rows=...) must be a literal"),
        ("@quantity()\ndef f(model):\n    return 1\n", "line 3: annotate `model` with a protocol of base/capabilities.py"),
        ("@quantity()\ndef f(*x):\n    return 1\n", "line 3: `f` takes plain arguments only"),
    ],
)
def test_a_quantity_that_cannot_be_read_is_refused(made_package, text, message):
    folder = made_package / "evaluation/quantities"
    folder.mkdir(parents=True)
    (folder / "made.py").write_text("from pofxy.evaluation.quantity import quantity\n" + text)
    with pytest.raises(ValueError, match=r"made\.py") as error:
        catalog.quantities()
    assert message in str(error.value)


def test_a_plan_needs_no_torch_and_no_mlflow(project_copy, tmp_path):
    """Where these cannot be imported, `snakemake -n` makes the whole plan. (pandas is what Snakemake's Slurm plugin imports.)"""
    block = tmp_path / "block"
    block.mkdir()
    (block / "sitecustomize.py").write_text(
        textwrap.dedent(f"""\
        import sys
        class Absent:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in {sorted(HEAVY)}:
                    raise ModuleNotFoundError("No module named " + repr(name))
        sys.meta_path.insert(0, Absent())
        """)
    )
    missing = subprocess.run(
        [sys.executable, "-c", "import torch"], env=os.environ | {"PYTHONPATH": str(block)}, capture_output=True
    )
    assert missing.returncode != 0, "the block works"
    found = project_copy.snakemake("-n", PYTHONPATH=str(block))
    counts = dict(line.split()[:2] for line in found.stdout.splitlines() if len(line.split()) == 2 and line.split()[1].isdigit())
    assert int(counts["train"]) >= 8 and int(counts["evaluate"]) >= 7 and counts["report"] == "1"
