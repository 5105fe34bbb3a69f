import json
import subprocess


rule collect:
    input:
        scores=[path for run in JUDGED for path in in_run(run, "scores.csv", "evaluate.json")],
        costs=[path for run in RUNS for path in in_run(run, "train.json")],
        source=source_files("collect.py"),
    output:
        scores=report(REPORT / "scores.csv", category="Tables", caption="../report/scores.rst"),
        runs=report(REPORT / "runs.csv", category="Tables", caption="../report/runs.rst"),
    log:
        REPORT / "logs/collect.log",
    params:
        config=config,
    script:
        "../scripts/collect.py"


rule report:
    input:
        tables=rules.collect.output,
        source=source_files("report.py", *catalog.figures().values()),
        template=os.path.relpath(catalog.PACKAGE / "report/index.html.j2"),
    output:
        report(REPORT / "index.html", category="Report", caption="../report/index.rst"),
    log:
        REPORT / "logs/report.log",
    params:
        config=config,
    script:
        "../scripts/report.py"


def render_partial_report():
    """Renders what there is, and makes Snakemake forget the files, so that the next run renders the whole report anew."""
    script = Path(workflow.basedir) / "scripts/partial.py"
    subprocess.run([sys.executable, script], input=json.dumps(config), text=True)
    for path in (*rules.collect.output, *rules.report.output):
        workflow.persistence.cleanup_metadata(path)
        if Path(path).exists():
            os.utime(path, (0, 0))
