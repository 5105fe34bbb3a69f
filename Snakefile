"""pofxy: both sides of p(x, y) on the same data, in one honest report. `snakemake --cores 8` is the whole interface."""

from snakemake.utils import min_version

min_version("9.27")

# A study is whole by itself: --configfile replaces the default study and is not merged into it.
if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


include: "rules/common.smk"
include: "rules/lookup.smk"
include: "rules/track.smk"
include: "rules/data.smk"
include: "rules/train.smk"
include: "rules/sample.smk"
include: "rules/evaluate.smk"
include: "rules/report.smk"


report: "report/workflow.rst"


rule all:
    default_target: True
    input:
        REPORT / "index.html",
        TRACKED,
    localrule: True


onstart:
    start_companions(), print_plan(follow=True)


# A model that failed took only its own row with it: the report is rendered from what is there, and says what is not.
onerror:
    render_partial_report()
