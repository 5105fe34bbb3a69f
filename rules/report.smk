rule collect:
    input:
        scores=[path for run in JUDGED for path in in_run(run, "scores.csv", "curves.csv", "evaluate.json")],
        learning=[path for run in RUNS if plan.learns(config, run) for path in in_run(run, "learning/curve.csv")],
        costs=[path for run in RUNS for path in in_run(run, "train.json")],
        source=source_files("collect.py"),
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
        config=config,
    message:
        "collect the scores and costs of all runs"
    script:
        "../scripts/collect.py"


rule report:
    input:
        tables=rules.collect.output,
        source=source_files("report.py", *(entry.path for entry in [*catalog.figures().values(), *catalog.verdicts().values()])),
        template=[os.path.relpath(catalog.PACKAGE / "report" / name) for name in ("index.html.j2", "style.css", "table.js")],
    output:
        report(REPORT / "index.html", category="Report", caption="../report/index.rst"),
    log:
        REPORT / "logs/report.log",
    localrule: True
    conda:
        "../envs/pofxy.yaml"
    params:
        config=config,
    message:
        "report on the study"
    script:
        "../scripts/report.py"
