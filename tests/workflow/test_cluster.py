"""A part of the smoke study on a Slurm cluster of one node, through profiles/slurm."""

import re
from collections import Counter


def test_a_study_runs_on_slurm(project_copy, slurm):
    """Every job that computes is submitted to Slurm, none fails, and a local run afterwards has nothing to do."""
    config = project_copy.folder / "config/smoke.yaml"
    small = "models: [lenet, gaussian_naive_bayes]\nsettings:\n  lenet: {steps: 20}\n  feature_net: {steps: 20}\n"
    config.write_text(config.read_text().partition("models:")[0] + small)
    study = ("--configfile", "config/smoke.yaml")
    early = ("--slurm-init-seconds-before-status-checks", 1)
    run = project_copy.snakemake("--workflow-profile", "profiles/slurm", *early, *study, timeout=1200, **slurm)

    planned = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", run.stdout, re.MULTILINE)}
    submitted = Counter(re.findall(r"submitted with SLURM jobid \d+ \(log: .*/rule_(\w+)/", run.stdout))
    # Rules that need a network, and rules that run once per study, run where Snakemake runs.
    local = {"all", "total", "track", "download", "collect", "report"}
    assert submitted == {rule: count for rule, count in planned.items() if rule not in local}
    assert {"preprocess", "train", "learn", "sample", "evaluate"} == set(submitted)
    assert (project_copy.folder / "results/smoke/report/index.html").exists()

    assert "Nothing to be done" in project_copy.snakemake(*study).stdout
