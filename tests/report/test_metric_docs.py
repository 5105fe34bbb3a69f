"""docs/metrics.md agrees with the docstrings of the metrics."""

import re

import pytest

from conftest import ROOT
from pofxy.report import metric_docs
from pofxy.report.wording import docstring
from pofxy.study import catalog

METRICS = catalog.metrics()


def test_the_page_is_made_of_the_docstrings_as_they_are():
    assert (ROOT / "docs/metrics.md").read_text(encoding="utf-8") == metric_docs.page(), "`make docs` regenerates it"


@pytest.mark.parametrize("name", METRICS)
def test_each_metric_names_its_formula_its_source_and_its_traps(name):
    kinds, blocks = zip(*docstring(METRICS[name].path).blocks)
    text = " ".join(blocks)
    assert "formula" in kinds
    assert re.search(r"\bSources?\b", text) and re.search(r"\bTraps?:", text)


def test_every_metric_has_its_entry_with_unit_direction_and_needs():
    page = metric_docs.page()
    found = re.findall(r"^`(\w+)` · (.+) · (higher is better|lower is better|best at [\d.]+) · needs `\w+`", page, re.MULTILINE)
    assert {name for name, *_ in found} == set(METRICS) and len(found) == len(METRICS)
    for name, unit, direction in found:
        assert unit == METRICS[name].unit
        assert direction.startswith("best") == (METRICS[name].best is not None)
