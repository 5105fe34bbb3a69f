"""What the rules look up, by wildcards or of the whole study; apart from them, as `snakemake --lint` asks."""

import atexit
import json
import subprocess
import threading
import time

# The study opened in MLflow, and what an earlier run could not send. Decided once: an input function is called again when the plan
# changes, and by then the events may be sent.
TRACKED = [TRACKING / "study.json"]
if any((TRACKING / "outbox").glob("*.json")):
    TRACKED.append(TRACKING / f"deliveries/{time.time_ns()}.json")

FEATURE_NETS = {name: [run for run in RUNS if (run.dataset, run.family) == (name, "feature_net")] for name in SOURCES}
FEATURE_NET = next((run.of for run in RUNS if run.family == "feature_net"), None)
STUDIED = tuple(dict.fromkeys(run.model for run in RUNS))
CODE_OF_REPORT = {
    "code": code_of("report.py", *dependencies.report_files()),
    "text": fingerprint.shown_text(*dependencies.shown_files()),
}


def source_of_dataset(wildcards):
    return SOURCES[wildcards.dataset]


def settings_of_model(wildcards):
    return config["settings"].get(wildcards.model, {})


def time_limit_of_model(wildcards):
    return settings_of_model(wildcards).get("time_limit", config["time_limit"])


def fitted_model_of_run(wildcards):
    """Of a calibrated model, the same model without calibration, where the study has it: the model is not fitted again."""
    run = run_of(wildcards)
    name = plan.uncalibrated(config["settings"], run.model, STUDIED)
    return in_run(RUN_OF[run.dataset, name, str(run.seed)], "model", "train.json") if name else []


def samples_of_run(wildcards):
    return in_run(run_of(wildcards), "samples_x.npy", "samples_y.npy") if "sample" in run_of(wildcards).capabilities else []


def feature_nets_of_run(wildcards):
    """The nets whose features samples are compared in: the data set's own, and the weights of the standard one if the config names them."""
    paths = [path for run in FEATURE_NETS[wildcards.dataset] for path in in_run(run, "model")] + WEIGHTS
    return paths if plan.uses_feature_net(run_of(wildcards).capabilities) else []


def images_of_others(wildcards):
    """The out-of-distribution images of another data set, where the config names one."""
    return expand(DATA / "test_x.npy", dataset=OOD_DATASETS[wildcards.dataset])


def code_of_evaluation(wildcards):
    """The code that an evaluation depends on, part by part: values whose part is the same are not computed again."""
    return dependencies.code_of_evaluation(run_of(wildcards), FEATURE_NET) | {"evaluate": code_of("evaluate.py")}


def estimator():
    """What jobs are expected to take, by all that is known now."""
    known = [
        duration.Job(rule, 1, f"{RESULTS}/runs/{run.key}/logs/{rule}.tsv", run, plan.work(config, run))
        for run in RUNS
        for rule in ("train", "learn", "sample", "evaluate")
    ]
    known_sizes = {name: sizes.size_of(source, RESULTS, config["split"]) for name, source in SOURCES.items()}
    return duration.Estimator(
        RESULTS / "runs", known_sizes, costs.shipped(), costs.growth(), costs.machine_speed(), known_jobs=known
    )


def waiting_jobs():
    """The jobs that are to run, in the order of the rules."""
    order = [rule.name for rule in workflow.rules]
    jobs = sorted(
        (job for job in workflow.dag.needrun_jobs(exclude_finished=False) if not job.is_norun),
        key=lambda job: order.index(job.rule.name),
    )
    runs = [RUN_OF.get(tuple(job.wildcards[:3])) for job in jobs]
    return [
        duration.Job(job.rule.name, job.threads, cost_file(job), run, run and plan.work(config, run))
        for job, run in zip(jobs, runs)
    ]


def cost_file(job):
    """Where a job writes what it cost: beside its log."""
    return str(Path(job.log[0]).with_suffix(".tsv")) if job.log else None


def print_plan(follow=False):
    """Prints what will run, how long it takes and what it needs; and, while it runs, how long the rest takes."""
    jobs, places = waiting_jobs(), workflow.cores if workflow.local_exec or workflow.dryrun else workflow.nodes
    print(duration.describe(jobs, places, estimator()), file=sys.stderr)
    if follow:
        arguments = (jobs, places, estimator, lambda line: print(line, file=sys.stderr))
        threading.Thread(target=duration.follow, args=arguments, daemon=True).start()


def print_plan_of_dry_run():
    """The same where nothing is run: Snakemake knows at its end alone that it was a dry run."""
    if workflow.dryrun and getattr(workflow, "_dag", None) is not None and waiting_jobs():
        print_plan()


atexit.register(print_plan_of_dry_run)


def start_companions():
    """Starts the processes that serve the jobs of this machine: they import the libraries once, not in every job."""
    if not workflow.local_exec:
        return
    sender.start(RESULTS)
    if len(waiting_jobs()) > 2:  # its imports take as long as those of two jobs
        fork_server.start()
    # Snakemake's limit of 100 jobs in a second is for clusters. With it, each look for jobs starts a timer for a further one: in a
    # run of 250 jobs Snakemake itself took 53 core-seconds, and 6 without.
    workflow.scheduler.job_rate_limiter = None


def render_partial_report():
    """Renders what there is, and makes Snakemake forget the files, so that the next run renders the whole report anew."""
    script = Path(workflow.basedir) / "scripts/render_partial_report.py"
    subprocess.run([sys.executable, script], input=json.dumps(config), text=True)
    for path in (*rules.collect.output, *rules.report.output):
        workflow.persistence.cleanup_metadata(path)
        if Path(path).exists():
            os.utime(path, (1, 1))  # older than all it is made of; Snakemake takes 0 for "no time known"
