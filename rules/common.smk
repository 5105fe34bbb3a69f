"""What the rules share: where things lie, and what each rule is made of. Names only; the decisions are in pofxy.study.plan."""

import gc
import os
import sys
from functools import cache
from pathlib import Path

# A plan is one large graph that lives as long as Snakemake: to look through it for garbage again and again cost a sixth of the time.
gc.set_threshold(50_000, 50, 100)
sys.path.insert(0, str(Path(workflow.basedir)))
from pofxy.study import catalog, costs, dependencies, duration, fingerprint, plan, sizes
from pofxy.study import config as study_config
from pofxy.workflow import fork_server, sender

try:
    schema = Path(workflow.basedir) / "config/schema.yaml"
    config.update(study_config.check(config, schema, workflow.overwrite_configfiles or ["config/config.yaml"]))
    SOURCES, RUNS = plan.sources(config), plan.runs(config)
    OOD_DATASETS = {name: plan.ood_datasets(config, name) for name in SOURCES}
    WEIGHTS = plan.weights(config)
except ValueError as error:
    sys.exit(f"pofxy: {error}")

# Jobs take the package of this checkout, whatever version is installed.
os.environ.update(PYTHONPATH=os.pathsep.join([sys.path[0], *filter(None, [os.environ.get("PYTHONPATH")])]))
MODELS, DATASETS = catalog.models(), catalog.datasets()
RUN_OF = {(run.dataset, run.model, str(run.seed)): run for run in RUNS}
RESULTS = Path(config["results"])
TRACKING = RESULTS / "tracking"
DATA = RESULTS / "data/{dataset}"
RUN = RESULTS / "runs/{dataset}/{model}/seed{seed}"
REPORT = RESULTS / "report"
EVALUATED = [run for run in RUNS if run.family != "feature_net"]


wildcard_constraints:
    dataset="[^/]+",
    model="[^/]+",
    seed=r"\d+",


def run_of(wildcards):
    return RUN_OF[tuple(wildcards[:3])]


@cache
def code_of(script, *parts):
    """Names the code that a rule's result depends on: another code re-runs the rule, another comment does not."""
    return fingerprint.fingerprint(Path(workflow.basedir) / "scripts" / script, *parts)


def in_run(run, *names):
    return [f"{RESULTS}/runs/{run.key}/{name}" for name in names]
