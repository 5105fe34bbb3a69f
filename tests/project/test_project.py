"""The project's own files: pins, facts that are stated twice, limits of length, names, the Makefile."""

import ast
import re
import shutil
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.lock").read_text()
PIN = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>[^ ;]+)( ; (?P<marker>.+))?")
PINS = {pin["name"]: pin for line in LOCK.splitlines() if (pin := PIN.fullmatch(line))}


def wanted() -> list[Requirement]:
    """The requirements of pyproject.toml, extras included."""
    extras = [item for group in PROJECT["optional-dependencies"].values() for item in group]
    return [Requirement(item) for item in PROJECT["dependencies"] + extras]


def reachable(requirements: list[Requirement]) -> set[str]:
    """Names of all packages that these need on this machine, by the metadata of what is installed."""
    found, waiting = set(), [item for item in requirements if holds(item)]
    while waiting:
        item = waiting.pop()
        if (item.name, *item.extras) not in found:
            found.add((item.name, *item.extras))
            needs = map(Requirement, metadata.requires(item.name) or [])
            waiting.extend(need for need in needs if holds(need, *item.extras))
    return {canonicalize_name(name) for name, *_ in found}


def holds(item: Requirement, *extras: str) -> bool:
    return not item.marker or any(item.marker.evaluate({"extra": extra}) for extra in ("", *extras))


@pytest.mark.parametrize("requirement", wanted(), ids=str)
def test_lock_pins_each_requirement_within_its_range(requirement):
    assert PINS[canonicalize_name(requirement.name)]["version"] in requirement.specifier


def test_lock_holds_plain_pins_alone():
    """No URL, no option, no build for one kind of machine: few have `torch==2.13.0+cpu`."""
    lines = [line for line in LOCK.splitlines() if not line.startswith("#")]
    assert len(PINS) == len(lines) > 100
    assert not [pin[0] for pin in PINS.values() if "+" in pin["version"]]


def test_lock_leaves_the_gpu_builds_own_libraries_out():
    assert not [name for name in PINS if re.match("nvidia|cuda|triton", name)]


def test_lock_pins_nothing_that_is_not_needed():
    here = {name for name, pin in PINS.items() if holds(Requirement(pin[0]))}
    assert here <= reachable(wanted())


def test_conda_environment_has_the_locks_pins():
    dependencies = yaml.safe_load((ROOT / "envs/pofxy.yaml").read_text())["dependencies"]
    assert dependencies[-1] == {"pip": [pin[0] for pin in PINS.values()]}
    python = next(item.removeprefix("python =") for item in dependencies if str(item).startswith("python"))
    assert f"--python-version {python} " in (ROOT / "Makefile").read_text()


def test_every_rule_with_a_script_names_the_environment():
    for path in (ROOT / "rules").glob("*.smk"):
        text = path.read_text()
        assert text.count("script:\n") == text.count('conda:\n        "../envs/pofxy.yaml"\n'), path


def test_version_license_and_holder_are_one_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])
    assert citation["authors"] == PROJECT["authors"]
    text = (ROOT / "LICENSE").read_text()
    assert text.startswith(f"{PROJECT['license']} License")
    assert PROJECT["authors"][0]["name"] in text
    assert f"## [{PROJECT['version']}]" in (ROOT / "CHANGELOG.md").read_text()


def test_precommit_runs_the_locked_tools():
    repositories = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    tools = [Path(hook["entry"].split()[0]) for repository in repositories for hook in repository["hooks"]]
    assert {tool.name for tool in tools} == {"ruff", "snakefmt"} <= set(PINS)
    assert {str(tool.parent) for tool in tools} == {".venv/bin"}


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_files_are_short():
    limits = {"Snakefile": 40, "rules/common.smk": 60, "scripts/*.py": 30}
    files = [(path, limit) for pattern, limit in limits.items() for path in ROOT.glob(pattern)]
    assert len(files) > 10
    assert not [f"{path}: {lines(path)} lines, {limit} at most" for path, limit in files if lines(path) > limit]


def test_rules_are_short():
    """At most 20 lines each, lines that only name a directive not counted."""
    text = "\n".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    rules = dict(re.findall(r"^rule (\w+):\n((?:(?: .*)?\n)+)", text, re.MULTILINE))
    counted = {name: re.findall(r"^ +(?! |\w+:$).+", body, re.MULTILINE) for name, body in rules.items()}
    assert len(counted) >= 8
    assert not {name: len(found) for name, found in counted.items() if len(found) > 20}


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def test_no_module_for_odds_and_ends():
    names = {"util", "utils", "helper", "helpers", "common", "misc"}
    files = python_files("pofxy", "scripts", "tests", "benchmarks")
    assert len(files) > 200
    assert not [path for path in files if names & set(path.stem.strip("_").split("_"))]


def test_every_module_has_a_docstring():
    texts = {path: path.read_text() for path in python_files("pofxy", "scripts")}
    assert not [path for path, text in texts.items() if text and not ast.get_docstring(ast.parse(text))]


# Names of earlier versions. CHANGELOG.md says what they are called now; the config's check knows those of config keys.
GONE = """
    Evidence PROBED LevelLaw FromJoint VERBS lawful passport codes_map sure_samples different_bins code_nmi code_ari
    code_neighbors code_trustworthiness code_probes outliers_ nats_thresholded nats_stochastic memorisation_p_value
    uniform-dequantised protocol.py handbook open_law
"""


def test_no_file_uses_a_name_that_is_gone():
    files = [path for folder in ("pofxy", "rules", "scripts", "docs") for path in (ROOT / folder).rglob("*") if path.is_file()]
    texts = {
        path.relative_to(ROOT): path.read_text(encoding="utf-8")
        for path in [*files, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
        if path.suffix not in (".png", ".pyc")
    }
    assert len(texts) > 200
    found = {str(path): [word for word in GONE.split() if word in text] for path, text in texts.items()}
    assert not {path: words for path, words in found.items() if words}


# A Python that only writes down how it is called; the programs of its venv do the same.
STUB = """#!/bin/sh
echo "$(basename "$0") $*" >> calls
case "$*" in
*venv*) mkdir -p .venv/bin; for name in pip snakemake; do cp "$0" ".venv/bin/$name"; done ;;
*version_info*) exit $OLD ;;
-V) echo Python 3.9.2 ;;
*--cores*) exit $FAILING ;;
*--editable*) exit $INTERRUPTED ;;
esac
"""


class Make:
    """make in a folder that has the Makefile and the lock only, with a Python that does nothing."""

    def __init__(self, folder: Path):
        self.folder = folder
        for name in ("Makefile", "requirements.lock"):
            shutil.copy(ROOT / name, folder)
        (folder / "python").write_text(STUB)
        (folder / "python").chmod(0o755)

    def __call__(self, *targets: str, old: int = 0, failing: int = 0, interrupted: int = 0):
        """Runs make. Returns its exit status, its output, and the names of the programs that it called."""
        (self.folder / "calls").write_text("")
        flags = {"OLD": str(old), "FAILING": str(failing), "INTERRUPTED": str(interrupted), "PATH": "/usr/bin:/bin"}
        command = ["make", "--no-print-directory", "PYTHON=./python", *targets]
        run = subprocess.run(command, cwd=self.folder, env=flags, capture_output=True, text=True, timeout=60)
        called = [line.split()[0] for line in (self.folder / "calls").read_text().splitlines()]
        return run.returncode, run.stdout + run.stderr, called


@pytest.fixture
def make(tmp_path) -> Make:
    return Make(tmp_path)


def test_make_builds_the_environment_once_and_again_where_the_lock_changed(make):
    assert make()[2] == ["python", "python", "pip", "pip", "snakemake"]
    assert make()[2] == ["snakemake"]
    lock = make.folder / "requirements.lock"
    lock.touch()
    assert make()[2] == ["snakemake"]
    lock.write_text(lock.read_text() + "more==1.0\n")
    assert make()[2] == ["python", "python", "pip", "pip", "snakemake"]


def test_make_builds_a_half_made_environment_again(make):
    status, _, called = make(interrupted=1)
    assert status != 0
    assert "snakemake" not in called
    assert make()[2] == ["python", "python", "pip", "pip", "snakemake"]


def test_make_names_a_python_that_is_too_old_in_one_line(make):
    status, output, called = make(old=1)
    assert status != 0
    assert "pip" not in called
    assert "pofxy needs Python 3.11 or later; ./python is Python 3.9.2." in output.splitlines()[0]


@pytest.mark.parametrize("failing", [0, 1])
def test_make_says_where_the_report_is_even_if_a_model_failed(make, failing):
    (make.folder / "results/report").mkdir(parents=True)
    (make.folder / "results/report/index.html").touch()
    status, output, _ = make(failing=failing)
    assert (status != 0) == bool(failing)
    assert "The report is results/report/index.html; make ui" in output


def test_make_ui_says_that_there_is_no_database(make):
    make()
    status, output, _ = make("ui")
    assert status != 0
    assert f"There is no MLflow database at {make.folder}/results/mlflow.db yet" in output


def test_make_free_deletes_the_kept_values_alone_and_says_how_much(make):
    runs = [make.folder / f"elsewhere/runs/digits/vae/seed{seed}" for seed in (0, 1)]
    for run in runs:
        (run / "kept_values").mkdir(parents=True)
        (run / "kept_values/latents.safetensors").write_bytes(bytes(3_000_000))
        (run / "scores.csv").touch()
    status, output, called = make("free", "RESULTS=elsewhere")
    assert (status, called) == (0, [])
    assert output == "Freed 6 MB of kept values.\n"
    assert all([path.name for path in run.iterdir()] == ["scores.csv"] for run in runs)
    assert make("free", "RESULTS=elsewhere")[:2] == (0, "There are no kept values below elsewhere.\n")


def test_make_runs_every_test_file_once(make):
    for path in (ROOT / "tests").glob("*/test_*.py"):
        (make.folder / path.relative_to(ROOT).parent).mkdir(parents=True, exist_ok=True)
        (make.folder / path.relative_to(ROOT)).touch()
    named = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "test"], cwd=make.folder, capture_output=True, text=True, check=True
    ).stdout
    files = re.findall(r"tests/\w+/test_\w+\.py", named)
    assert sorted(files) == sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py"))
    assert files.index("tests/workflow/test_workflow.py") < files.index("tests/study/test_catalog.py")


def test_continuous_integration_tests_the_oldest_python():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    oldest, newest = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert f">={oldest}" == PROJECT["requires-python"]
    assert tuple(map(int, oldest.split("."))) < tuple(map(int, newest.split(".")))
    assert {step.get("run") for job in workflow["jobs"].values() for step in job["steps"]} >= {"make lint", ".ci/run test"}
