"""The verdict: the questions that most readers have, and the study's answers to them.

Each question is one file of this package. Its function of the same name takes the study and a data set, and returns its answers.
`ORDER` is the place of the question on the page. `METRICS` names the metrics that answer it; they are also the first columns of
their tables.
"""

import importlib
from dataclasses import dataclass, field
from typing import NamedTuple

from pofxy.report.study import Study
from pofxy.study import catalog


class Winner(NamedTuple):
    """A model that answers a question; all text, `interval` may be empty."""

    model: str
    family: str
    value: str
    interval: str


@dataclass(frozen=True)
class Verdict:
    """One question and its answer; all text.

    Attributes:
        question: in the reader's words.
        measure: the name of the measure that answers it, in the field's words.
        details: how it was measured: unit, split, number of seeds.
        winners: the best first. More than one is a tie; none where the remarks alone are the answer.
        remarks: sentences that qualify the answer.
        alarms: sentences that say that something is wrong.
    """

    question: str
    measure: str
    details: str
    winners: list[Winner] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)


def verdicts(study: Study, dataset: str) -> list[Verdict]:
    """The answer to each question for which this data set has scores, in their ORDER."""
    answers = []
    for entry in questions():
        answer = getattr(importlib.import_module(f"pofxy.report.verdicts.{entry.name}"), entry.public)
        answers += answer(study, dataset)
    return answers


def questions() -> list[catalog.SectionEntry]:
    """The files of this package that answer a question, in their ORDER."""
    return sorted(catalog.verdicts().values(), key=lambda entry: (entry.order, entry.name))


def headline_metrics() -> list[str]:
    """The metrics that answer a question, in the order of the questions."""
    return [metric for entry in questions() for metric in entry.metrics]
