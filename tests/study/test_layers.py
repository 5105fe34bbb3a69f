"""Which package imports which: the list of pofxy/__init__.py, from top to bottom; nobody imports upwards."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pofxy
from pofxy.study import source

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "pofxy"
# Each line of the list names one package, or two that stand side by side and do not know each other.
LAYERS = [set(re.findall(r"`(\w+)`", line)) for line in (pofxy.__doc__ or "").splitlines() if line.lstrip().startswith("- ")]
# What only some may import, by its first name.
ONLY = {"mlflow": {"tracking"}, "jsonschema": {"study"}, "jinja2": {"report"}, "skops": {"storage"}}
ARRAYS = {"numpy", "scipy", "torch", "sklearn"}


def imports(path: Path) -> set[str]:
    """The dotted names of all modules that a file imports, wherever in the file the import stands."""
    found = set()
    for node in ast.walk(source.tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" if node.module == "pofxy" else node.module for alias in node.names}
    return found


def packages(path: Path) -> set[str]:
    """The packages of pofxy that a file imports."""
    return {name.split(".")[1] for name in imports(path) if name.startswith("pofxy.")}


def third_party(path: Path) -> set[str]:
    first = {name.split(".")[0] for name in imports(path)}
    return {name for name in first if name != "pofxy" and name not in sys.stdlib_module_names}


FILES = [pytest.param(path, id=str(path.relative_to(PACKAGE))) for path in sorted(PACKAGE.rglob("*.py"))]


def test_the_list_names_every_package():
    assert {name for layer in LAYERS for name in layer} == {
        path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()
    }
    assert len(LAYERS) > 8


@pytest.mark.parametrize("path", FILES)
def test_nobody_imports_upwards(path):
    own = path.relative_to(PACKAGE).parts[0]
    if own == "__init__.py":
        assert not packages(path)
        return
    place = next(i for i, layer in enumerate(LAYERS) if own in layer)
    below = {name for layer in LAYERS[place + 1 :] for name in layer} | {own}
    assert packages(path) <= below, f"{own} imports {sorted(packages(path) - below)}"


@pytest.mark.parametrize("path", FILES)
def test_a_library_has_one_package_that_imports_it(path):
    own = path.relative_to(PACKAGE).parts[0]
    assert not {name for name in third_party(path) if own not in ONLY.get(name, {own})}


def test_a_plan_is_made_with_the_standard_library_alone():
    light = [*(PACKAGE / "study").glob("*.py"), PACKAGE / "base/tags.py", PACKAGE / "base/__init__.py", PACKAGE / "__init__.py"]
    needed = {path.name: third_party(path) for path in light if third_party(path)}
    assert needed == {"config.py": {"jsonschema", "yaml"}}, "Snakemake brings these two itself"
    assert not [path for path in (PACKAGE / "study").glob("*.py") if packages(path) - {"study", "base"}]


def test_rules_import_the_plan_and_what_serves_the_jobs():
    text = "\n".join(path.read_text() for path in [ROOT / "Snakefile", *(ROOT / "rules").glob("*.smk")])
    lines = [line for line in text.splitlines() if line.startswith(("import ", "from "))]
    ours = {line.split()[1] for line in lines if "pofxy" in line}
    assert ours == {"pofxy.study", "pofxy.workflow"}
    assert {line.split()[1].split(".")[0] for line in lines} - {"pofxy"} <= sys.stdlib_module_names | {"snakemake"}


def test_what_rules_and_jobs_start_with_needs_the_standard_library_alone():
    code = "import sys; old = {*sys.modules}; from pofxy.workflow import fork_server, job, sender; print(*{*sys.modules} - old)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert {"pofxy.workflow.job", "pofxy.workflow.sender"} <= set(loaded)
    assert {name.partition(".")[0] for name in loaded} <= sys.stdlib_module_names | {"pofxy"}


def test_scripts_do_not_import_each_other():
    scripts = {path.stem: path for path in (ROOT / "scripts").glob("*.py")}
    assert len(scripts) > 8
    assert not [name for name, path in scripts.items() if imports(path) & set(scripts)]


@pytest.mark.parametrize("path", [param for param in FILES if param.id.startswith("models/")])
def test_models_know_no_metric_no_data_set_and_no_tracking(path):
    assert packages(path) <= {"base", "nets", "training", "data"}
    if "data" in packages(path):
        assert {name for name in imports(path) if name.startswith("pofxy.data")} == {
            "pofxy.data.known_distributions",
            "pofxy.data.known_distributions.gaussians",
            "pofxy.data.known_distributions.known_images",
        }


@pytest.mark.parametrize("path", [param for param in FILES if param.id.startswith("evaluation/metrics/")])
def test_metrics_import_array_libraries_alone(path):
    assert third_party(path) <= ARRAYS
    ours = {name for name in imports(path) if name.startswith("pofxy") and not name.startswith("pofxy.evaluation.metrics")}
    assert ours <= {"pofxy.evaluation.frechet", "pofxy.evaluation.intervals"}
