"""docs/metrics.md: what each metric is, made of the metrics' own docstrings. `python -m pofxy.report.metric_docs FILE` writes it."""

import sys
from pathlib import Path

from pofxy.report.table import judged_verb
from pofxy.report.wording import docstring, name_of
from pofxy.storage import files
from pofxy.study import catalog

HEAD = """# What is measured

One entry for each metric, made of the docstrings in `scripts/pofxy/metrics/` by `make docs`; a test keeps the two in step. A
model gets a metric where it has a verb that the metric needs; `scripts/pofxy/protocol.py` says what the capabilities are. Every score in
`results/report/scores.csv` carries its unit, estimator, split, number of images and 95 % interval, and its `position`: 0 where
the floor `real_train` stands (real images in place of samples), 1 where the ceiling does (`independent_pixels`; of tables,
`noise`), empty where these two are not apart.
"""


def page() -> str:
    """The whole page, the metrics in the order of the capabilities that they judge and of their names."""
    entries = sorted(catalog.metrics().values(), key=lambda entry: (catalog.capabilities().index(judged_verb(entry)), entry.name))
    parts, verb = [HEAD], ""
    for entry in entries:
        if judged_verb(entry) != verb:
            verb = judged_verb(entry)
            parts.append(f"## Of `{verb}`\n")
        parts.append(_section(entry))
    return "\n".join(parts)


def _section(entry: catalog.Entry) -> str:
    text, known = docstring(entry.path), entry.constants
    best = known.get("BEST")
    direction = (
        f"best at {best:g}" if best is not None else "higher is better" if known["HIGHER_IS_BETTER"] else "lower is better"
    )
    needs = " and ".join(
        dict.fromkeys(f"`{'` or `'.join(capabilities)}`" for name in entry.parameters if (capabilities := catalog.needs(name)))
    )
    summary = text.title.partition(": ")[2]
    lines = [f"### {name_of(text.title)}", "", f"`{entry.name}` · {known['UNIT']} · {direction} · needs {needs}", ""]
    lines += [summary[:1].upper() + summary[1:], ""] if summary else []
    for kind, block in text.blocks:
        lines += ["```", block, "```", ""] if kind == "formula" else [block, ""]
    return "\n".join(lines)


if __name__ == "__main__":
    with files.atomic(Path(sys.argv[1])) as temporary:
        temporary.write_text(page(), encoding="utf-8")
