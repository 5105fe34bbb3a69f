rule collect:
    input:
        scores=[path for run in EVALUATED for path in in_run(run, "scores.csv", "curves.csv", "evaluate.json")],
        learning=[path for run in RUNS if plan.learns(config, run) for path in in_run(run, "learning/curve.csv")],
        costs=[path for run in RUNS for path in in_run(run, "train.json")],
    output:
        scores=report(REPORT / "scores.csv", category="Tables", caption="../report/scores.rst"),
        curves=report(REPORT / "curves.csv", category="Tables", caption="../report/curves.rst"),
        runs=report(REPORT / "runs.csv", category="Tables", caption="../report/runs.rst"),
    log:
        REPORT / "logs/collect.log",
    localrule: True
    conda:
        "../envs/pofxy.yaml"
    params:
        code=code_of("collect.py"),
        config=config,
    message:
        "collect the scores and costs of all runs"
    script:
        "../scripts/collect.py"


rule report:
    input:
        tables=rules.collect.output,
    output:
        report(REPORT / "index.html", category="Report", caption="../report/index.rst"),
    log:
        REPORT / "logs/report.log",
    localrule: True
    conda:
        "../envs/pofxy.yaml"
    params:
        code=CODE_OF_REPORT,
        config=config,
    message:
        "report on the study"
    script:
        "../scripts/report.py"
