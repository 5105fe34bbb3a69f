"""The catalog, the plan and the config: what exists, who may import whom, and what a wrong config is told."""

import ast
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pofxy.study import catalog, plan
from pofxy.study import config as study_config

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts"
HEAVY = {"torch", "torchvision", "mlflow", "sklearn", "scipy", "matplotlib", "safetensors", "skops", "PIL"}
ARRAYS = {"numpy", "scipy", "torch", "sklearn"}


def imports(path):
    """Every module that a file imports, wherever the import stands: ours as pofxy.room, others by their first name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"pofxy.{alias.name}" for alias in node.names] if node.module == "pofxy" else [node.module]
        else:
            continue
        for name in names:
            yield ".".join(name.split(".")[:2]) if name.startswith("pofxy") else name.split(".")[0]


def room(pattern):
    return [pytest.param(path, id=str(path.relative_to(SCRIPTS))) for path in sorted(SCRIPTS.glob(pattern))]


def third_party(names):
    return {name for name in names if not name.startswith("pofxy") and name not in sys.stdlib_module_names}


@pytest.mark.parametrize(
    "path", [*room("pofxy/catalog.py"), *room("pofxy/plan.py"), *room("pofxy/run.py"), *room("pofxy/tables.py")]
)
def test_the_plan_is_made_with_the_standard_library_alone(path):
    assert not third_party(imports(path))


def test_what_rules_import_is_light():
    seen = {name for path in [ROOT / "Snakefile", *(ROOT / "rules").glob("*.smk")] for name in rule_imports(path)}
    assert {name for name in seen if name.startswith("pofxy")} <= {"pofxy.study.catalog", "pofxy.study.plan", "pofxy.config"}
    assert third_party(seen) <= {"snakemake"}
    assert third_party(imports(SCRIPTS / "pofxy/config.py")) <= {"jsonschema", "yaml"}, "Snakemake brings these two itself"


def rule_imports(path):
    for line in path.read_text().splitlines():
        if line.startswith(("import ", "from ")):
            words = line.replace(",", " ").split()
            if words[0] == "from" and words[1] == "pofxy":
                yield from (f"pofxy.{name}" for name in words[3:4] + words[4:] if name not in ("as", "study_config", "import"))
            else:
                yield words[1].split(".")[0]


@pytest.mark.parametrize("path", room("*.py"))
def test_scripts_never_import_each_other(path):
    others = {other.stem for other in SCRIPTS.glob("*.py")}
    assert not others & set(imports(path))


@pytest.mark.parametrize("path", room("pofxy/models/*/*.py"))
def test_models_import_nets_training_and_protocol_alone(path):
    ours = {name for name in imports(path) if name.startswith("pofxy")}
    assert ours <= {"pofxy.nets", "pofxy.training.trainer", "pofxy.base", "pofxy.data.known_distributions"}


@pytest.mark.parametrize("path", room("pofxy/laws/*.py"))
def test_laws_import_array_libraries_and_each_other_alone(path):
    assert third_party(imports(path)) <= ARRAYS and {name for name in imports(path) if name.startswith("pofxy")} <= {
        "pofxy.data.known_distributions"
    }


@pytest.mark.parametrize("path", room("pofxy/nets/*.py"))
def test_nets_import_torch_training_and_protocol_alone(path):
    assert third_party(imports(path)) <= {"torch"}
    assert {name for name in imports(path) if name.startswith("pofxy")} <= {"pofxy.nets", "pofxy.training.trainer", "pofxy.base"}


@pytest.mark.parametrize("path", room("pofxy/probes/*.py"))
def test_probes_import_array_libraries_and_the_protocol_alone(path):
    assert third_party(imports(path)) <= ARRAYS
    assert {name for name in imports(path) if name.startswith("pofxy")} <= {"pofxy.evaluation.quantities", "pofxy.base"}


@pytest.mark.parametrize("path", [*room("pofxy/metrics/*.py"), *room("pofxy/claims/*.py")])
def test_metrics_import_array_libraries_alone(path):
    ours = {name for name in imports(path) if name.startswith("pofxy")}
    assert third_party(imports(path)) <= ARRAYS and ours <= {"pofxy.moments"}


@pytest.mark.parametrize("path", room("pofxy/datasets/*.py"))
def test_data_sets_know_nothing_of_models_and_tracking(path):
    assert {name for name in imports(path) if name.startswith("pofxy")} <= {
        "pofxy.data.datasets",
        "pofxy.storage.files",
        "pofxy.data.known_distributions",
        "pofxy.data.torchvision_compat",
    }


def test_only_tracking_imports_mlflow():
    guilty = [path for path in SCRIPTS.rglob("*.py") if "mlflow" in set(imports(path)) and path.parent.name != "tracking"]
    assert not guilty
    assert "mlflow" not in set(imports(SCRIPTS / "pofxy/tracking/__init__.py")), "jobs import it, and most of them do not send"


def test_the_closure_follows_imports_wherever_they_stand(tmp_path, monkeypatch):
    package = tmp_path / "pofxy"
    for name, text in {
        "a.py": "from pofxy import b\ndef f():\n    from pofxy.rooms.c import thing",
        "b.py": "import json",
        "rooms/__init__.py": "",
        "rooms/c.py": "import pofxy.d",
        "d.py": "from pofxy import a",
        "e.py": "import pofxy.a",
    }.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    monkeypatch.setattr(catalog, "PACKAGE", package)
    assert [path.relative_to(package).as_posix() for path in catalog.closure(package / "a.py")] == [
        "a.py",
        "b.py",
        "d.py",
        "rooms/c.py",
    ]


def test_a_digest_changes_with_every_file_of_the_closure(tmp_path, monkeypatch):
    package = tmp_path / "pofxy"
    package.mkdir()
    (package / "a.py").write_text("from pofxy import b")
    (package / "b.py").write_text("x = 1")
    monkeypatch.setattr(catalog, "PACKAGE", package)
    before = catalog.digest(package / "a.py")
    assert before == catalog.digest(package / "a.py")
    (package / "b.py").write_text("x = 2")
    assert before != catalog.digest(package / "a.py")


def test_the_closure_of_a_model_holds_no_other_model_and_no_sender():
    entry = catalog.models()["vae"]
    names = {path.name for path in catalog.closure(SCRIPTS / "train.py", entry.path)}
    assert {"train.py", "vae.py", "training.py", "protocol.py", "store.py", "fitting.py"} <= names
    assert not {"lenet.py", "delivery.py", "catalog.py", "plan.py"} & names


CONFIG = {"study": "s", "datasets": ["digits"]}


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
        ({"models": ["vae"], "exclude": ["vae"]}, "models: nothing is left to train after 'exclude'"),
        ({"study": "a b"}, "study: 'a b' is not valid"),
        ({"split": {"test": 2}}, "split.test: 2 is not valid: the share for test"),
        ({"learning_curve": {"models": ["knn"]}}, "learning_curve.models: unknown model 'knn'"),
        ({"learning_curve": {"models": "fast"}}, "learning_curve.models: 'fast' is not valid: 'quick' (all but"),
        ({"learning_curve": {"sizes": [0]}}, "learning_curve.sizes.0: 0 is not valid"),
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
    assert [run.seed for run in runs if run.family == "feature_net" and run.dataset == "mine"] == [0], "one for all seeds"


def test_without_a_sampler_there_is_no_judge_and_no_reference(tmp_path):
    runs = plan.runs(checked(tmp_path, models=["lenet", "logistic_regression"]))
    assert {run.family for run in runs} == {"discriminative"}


def test_evaluations_say_why_not():
    found = catalog.evaluations(("predict",))
    assert found["accuracy"] == "" and found["log_loss"] == "no predict_proba"
    assert found["bits_per_dim"] == "no log_prob, log_weight, log_prob_bound or log_unnormalized"
    assert found["frechet_distance"] == "no sample"


def test_a_table_is_for_those_that_take_one_and_a_known_law_brings_its_oracle(tmp_path):
    runs = plan.runs(checked(tmp_path, datasets=["digits", "gaussians", "known_images"]))
    models = {name: {run.model for run in runs if run.dataset == name} for name in ("digits", "gaussians", "known_images")}
    pictures = {name for name, entry in catalog.models().items() if entry.images_only}
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
        ({"outliers": {"digits": "zzz"}}, "outliers: unknown data set 'zzz'; there is: digits, gaussians"),
        ({"outliers": {"digits": "gaussians"}}, "outliers: gaussians is a table, and outliers are told among images"),
    ],
)
def test_whose_images_are_outliers_is_checked(tmp_path, config, message):
    with pytest.raises(plan.ConfigError, match=message):
        plan.outliers(checked(tmp_path, datasets=["digits", "gaussians"], **config), "digits")
    assert plan.outliers(
        checked(tmp_path, datasets=["digits", "known_images"], outliers={"digits": "known_images"}), "digits"
    ) == ["known_images"]


def test_weights_of_the_standard_feature_net_are_a_file_or_a_download(tmp_path):
    assert plan.weights(checked(tmp_path)) == plan.weights(checked(tmp_path, inception="download")) == []
    with pytest.raises(plan.ConfigError, match=r"inception: there is no nowhere\.pth"):
        plan.weights(checked(tmp_path, inception="nowhere.pth"))
    (tmp_path / "net.pth").touch()
    assert plan.weights(checked(tmp_path, inception=str(tmp_path / "net.pth"))) == [str(tmp_path / "net.pth")]


def test_class_attributes_are_found_where_they_are_inherited():
    known = catalog.models()
    assert known["lenet"].images_only and not known["mlp"].images_only
    assert known["gaussian_naive_bayes"].partner == "logistic_regression" and known["oracle"].needs_known_distribution
    data = catalog.datasets()
    assert data["gaussians"].table and data["gaussians"].law == "gaussians" and not data["digits"].table


def test_a_file_without_its_one_public_class_is_named(tmp_path, monkeypatch):
    package = tmp_path / "pofxy"
    (package / "models/generative").mkdir(parents=True)
    (package / "protocol.py").write_text((catalog.PACKAGE / "protocol.py").read_text())
    (package / "models/generative/nothing.py").write_text('"""Nothing."""\n')
    monkeypatch.setattr(catalog, "PACKAGE", package)
    with pytest.raises(ValueError, match=r"nothing\.py: exactly one public class with a `fit` method is needed, 0 found"):
        catalog.models()
    (package / "models/generative/nothing.py").write_text("class A(:\n")
    catalog._tree.cache_clear()
    with pytest.raises(ValueError, match=r"nothing\.py, line 1: invalid syntax"):
        catalog.models()


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
