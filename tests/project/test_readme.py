"""What the README shows works as it stands."""

import csv
import re
import subprocess
import sys
from pathlib import Path

import yaml

from conftest import clean_environment
from pofxy.study import catalog, plan
from pofxy.study import config as study_config

ROOT = Path(__file__).resolve().parents[2]
# What naive Bayes can do and the example cannot.
OWN = ("decision_function", "log_joint_known", "inpaint")
# What is of other kinds of likelihood, or of a net that the config does not name.
OTHERS = {"log_density", "nats_binarized_stochastic", "nats_binarized_threshold", "inception_distance"}
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"^ *```{language}\n(.*?)^ *```$", README, re.MULTILINE | re.DOTALL)


def test_every_model_is_in_the_table_and_every_target_exists():
    named = set(re.findall(r"`(\w+)`", README.split("## What is in it")[1].split("A model has")[0]))
    assert named == {name for name, entry in catalog.models().items() if entry.family != "feature_net"}
    targets = set(re.findall(r"^(\w+): \$\(ENVIRONMENT\)", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make (\w+)", README)) | {"run", "test"} == targets


def test_the_example_study_is_valid(tmp_path, monkeypatch):
    (text,) = blocks("yaml")
    (tmp_path / "mine.yaml").write_text(text)
    (tmp_path / "path/to/folder").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    config = study_config.check(yaml.safe_load(text), ROOT / "config/schema.yaml", ["mine.yaml"])
    runs = plan.runs(config)
    assert {"vae_beta4", "lenet"} <= {run.model for run in runs} and "dcgan" not in {run.model for run in runs}


def test_links_and_pictures_exist():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).is_file(), target


def test_the_model_shown_whole_runs_and_is_judged(project_copy):
    reading, model = blocks("python")
    path = re.search(r"This is all of `(\S+)`", README)[1]
    (project_copy.folder / path).write_text(model)
    (project_copy.folder / "config/config.yaml").write_text(
        "study: readme\ndatasets: [digits]\nmodels: [class_means, lenet]\n"
        "settings: {lenet: {steps: 20}, feature_net: {steps: 20}}\n"
        "learning_curve: {sizes: [1], draws: 1, deep_draws: 1}\n"
    )
    project_copy.snakemake()
    with (project_copy.folder / "results/report/scores.csv").open() as file:
        scores = {row["metric"]: float(row["value"]) for row in csv.DictReader(file) if row["model"] == "class_means"}
    capabilities = catalog.models()["gaussian_naive_bayes"].capabilities
    expected = {name for name, why in catalog.evaluations([v for v in capabilities if v not in OWN]).items() if not why}
    assert set(scores) == expected - OTHERS >= {"accuracy", "brier_score", "bits_per_dim", "frechet_distance"}
    assert scores["accuracy"] > 0.85
    code = re.sub(r"^  ", "", reading, flags=re.MULTILINE)
    command = [sys.executable, "-c", code]
    shown = subprocess.run(command, cwd=project_copy.folder, env=clean_environment(), capture_output=True, text=True)
    assert re.fullmatch(r"\[\d( \d){4}\]\n", shown.stdout), shown.stdout + shown.stderr
