"""What the rules look up, by wildcards or of the whole study; apart from them, as `snakemake --lint` asks."""

import json
import subprocess
import time

# The study opened in MLflow, and what an earlier run could not send. Decided once: an input function is asked again when the plan
# changes, and by then the events may be gone.
TRACKED = [TRACKING / "study.json"]
if any((TRACKING / "outbox").glob("*.json")):
    TRACKED.append(TRACKING / f"deliveries/{time.time_ns()}.json")

# What every evaluation asks, as one parameter: a hundred files as inputs of each job would take a third of the plan's time.
ASKED = catalog.digest(*(entry.path for entry in (*catalog.metrics().values(), *catalog.probes().values())))


def source_of_dataset(wildcards):
    return SOURCES[wildcards.dataset]


def settings_of_model(wildcards):
    return config["settings"].get(wildcards.model, {})


def time_limit_of_model(wildcards):
    return settings_of_model(wildcards).get("time_limit", config["time_limit"])


def samples_of_run(wildcards):
    return in_run(run_of(wildcards), "samples_x.npy", "samples_y.npy") if "sample" in run_of(wildcards).capabilities else []


def feature_nets_of_run(wildcards):
    """The nets whose features samples are compared on: the data set's own, and the weights of the standard one if it is asked for."""
    judges = [run for run in RUNS if run.family == "feature_net" and run.dataset == wildcards.dataset]
    paths = [path for run in judges for path in in_run(run, "model")] + WEIGHTS
    return paths if plan.uses_feature_net(run_of(wildcards).capabilities) else []


def images_of_others(wildcards):
    """The images of another data set that models are asked to tell from their own, where the config names one."""
    return expand(DATA / "test_x.npy", dataset=OUTLIERS[wildcards.dataset])


def sources_of_evaluation(wildcards):
    capabilities = run_of(wildcards).capabilities
    models = [run_of(wildcards), *(run for run in RUNS if run.family == "feature_net" and plan.uses_feature_net(capabilities))]
    return source_files("evaluate.py", *(MODELS[run.of].path for run in models))


def print_plan():
    """Says what is to be done, and about how long it takes."""
    waiting = [job for job in workflow.dag.needrun_jobs() if not job.is_norun]
    jobs = [plan.Job(rule.name, job.threads, job.benchmark) for rule in workflow.rules for job in waiting if job.rule is rule]
    places = workflow.cores if workflow.local_exec else workflow.nodes
    print(plan.describe(jobs, places, RESULTS / "runs"), file=sys.stderr)


def render_partial_report():
    """Renders what there is, and makes Snakemake forget the files, so that the next run renders the whole report anew."""
    script = Path(workflow.basedir) / "scripts/render_partial_report.py"
    subprocess.run([sys.executable, script], input=json.dumps(config), text=True)
    for path in (*rules.collect.output, *rules.report.output):
        workflow.persistence.cleanup_metadata(path)
        if Path(path).exists():
            os.utime(path, (1, 1))  # older than all it is made of; Snakemake takes 0 for "no time known"
