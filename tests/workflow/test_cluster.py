"""A part of the smoke study on a Slurm cluster of one node, through profiles/slurm."""

import re
from collections import Counter


def test_a_study_runs_on_slurm(project_copy, slurm):
    """What computes is Slurm's, each job of it; nothing fails, and nothing is left to do for a run on this machine."""
    config = project_copy.folder / "config/smoke.yaml"
    few = "models: [lenet, gaussian_naive_bayes]\nsettings:\n  lenet: {steps: 20}\n  feature_net: {steps: 20}\n"
    config.write_text(config.read_text().partition("models:")[0] + few)
    study = ("--configfile", "config/smoke.yaml")
    quick = ("--slurm-init-seconds-before-status-checks", 1)
    run = project_copy.snakemake("--workflow-profile", "profiles/slurm", *quick, *study, timeout=1200, **slurm)

    planned = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", run.stdout, re.MULTILINE)}
    submitted = Counter(re.findall(r"submitted with SLURM jobid \d+ \(log: .*/rule_(\w+)/", run.stdout))
    # What needs a network, or what all runs have in common, stays where Snakemake runs.
    local = {"all", "total", "track", "download", "collect", "report"}
    assert submitted == {rule: count for rule, count in planned.items() if rule not in local}
    assert {"preprocess", "train", "learn", "sample", "evaluate"} == set(submitted)
    assert (project_copy.folder / "results/smoke/report/index.html").exists()

    assert "Nothing to be done" in project_copy.snakemake(*study).stdout
