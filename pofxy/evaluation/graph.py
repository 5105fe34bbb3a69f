"""Resolves quantities: computes each at most once, only where something needs it, and not at all where its value was kept."""

import hashlib
import importlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from string import Formatter
from typing import Any

from torch import Tensor

from pofxy.base.seeding import seed_everything
from pofxy.evaluation.facts import Facts
from pofxy.evaluation.kept_values import KeptValues
from pofxy.evaluation.quantity import NotApplicable, ProbeResult
from pofxy.study import catalog
from pofxy.study.catalog import Dependency
from pofxy.workflow.job import TimeLimitExceeded

logger = logging.getLogger("pofxy")

# What takes longer is named in the log.
SLOW_SECONDS = 60


class Graph:
    """The quantities of one fitted model.

    Args:
        facts: what everything is computed from.
        capabilities: of the model; what needs others is not applicable.
        code: fingerprints of the files of quantities and metrics, by their paths below the package, and of the model's own file
            by "model"; a value is kept under what made it. None keeps nothing.
        kept: values of earlier evaluations.
        label: ends the names of values that are kept, where several graphs share a folder.
    """

    def __init__(
        self,
        facts: Facts,
        capabilities: tuple[str, ...],
        code: dict[str, str] | None = None,
        kept: KeptValues | None = None,
        label: str = "",
    ):
        self.facts = facts
        self.capabilities = capabilities
        self.code = code or {}
        self.kept = kept or KeptValues(None)
        self.label = label
        self.computed: list[str] = []  # names of the quantities whose value no earlier evaluation had kept
        self._values: dict[str, Any] = {}
        self._keys: dict[str, str] = {}

    def get(self, name: str) -> Any:
        """The value of a quantity or a fact.

        Raises:
            NotApplicable: where it makes no sense for this model or data set, or cannot be had of this model.
        """
        if name not in self._values:
            self._values[name] = self._resolve(name)
        value = self._values[name]
        if isinstance(value, NotApplicable):
            raise value
        return value

    def arguments(self, dependencies: Iterable[Dependency]) -> dict[str, object]:
        """The arguments of a quantity or a metric by name. Raises NotApplicable where one that is required cannot be had."""
        found = {}
        for dependency in dependencies:
            try:
                self._check(dependency)
                found[dependency.name] = self.get(dependency.name)
            except NotApplicable:
                if not dependency.optional:
                    raise
        return found

    def key(self, name: str) -> str:
        """Names what a quantity's value is made of, without computing it; "" where something in it has no name."""
        if name not in self._keys:
            self._keys[name] = self._key(name)
        return self._keys[name]

    def key_of(self, path: str, dependencies: Iterable[Dependency]) -> str:
        """The same for a function of a file below the package with these arguments."""
        parts = [self.code.get(path, "")]
        for dependency in dependencies:
            missing = bool(catalog.why_not((dependency,), self.capabilities))
            parts.append("-" if missing and dependency.optional else self.key(dependency.name))
        return _digest(*parts) if all(parts) else ""

    def replacing(self, label: str, openers: dict[str, Callable[[], object]], keys: dict[str, str]) -> "Graph":
        """The same graph with other values of some facts or quantities.

        Args:
            label: a name for the variant, of letters and digits.
            openers: the other values, opened when needed.
            keys: what names the content of each.
        """
        facts = Facts({**self.facts.openers, **openers}, {**self.facts.digests, **keys})
        return Graph(facts, self.capabilities, self.code, self.kept, f"{self.label}@{label}")

    def provenance(self, name: str) -> str:
        """How a quantity was obtained, for the provenance of a score; "" for the model's plain outputs."""
        entry = catalog.quantities().get(name)
        if entry is None:
            return ""
        if entry.curve:
            conditions = self.get(name).conditions
            return conditions[0] if len(conditions) == 1 else ""
        named = [field for _, field, _, _ in Formatter().parse(entry.source) if field]
        return entry.source.format(**{field: self.get(field) for field in named})

    def _resolve(self, name: str):
        if name in self.facts.openers:
            return self.facts.openers[name]()
        entry = catalog.quantities()[name]
        known, value = self.kept.load(name + self.label, self.key(name)) if entry.kept else (False, None)
        if known:
            return value
        self.computed += [name] if entry.kept else []
        try:
            value = self._compute(entry)
        except NotApplicable as reason:
            value = reason
        if entry.kept:
            self.kept.save(name + self.label, self.key(name), value)
        return value

    def _compute(self, entry: catalog.QuantityEntry):
        if entry.images_only and len(self.get("spec").shape) != 3:
            raise NotApplicable(f"{entry.name} is of images, and this is a table")
        if reason := catalog.why_not(entry.dependencies, self.capabilities):
            raise NotApplicable(reason)
        arguments = self.arguments(entry.dependencies)
        module = ".".join(entry.path.relative_to(catalog.PACKAGE.parent).with_suffix("").parts)
        # Each quantity starts from a fresh seed: its value does not depend on what was computed before it.
        seed_everything(self.get("seed"))
        with watched(entry.name):
            return getattr(importlib.import_module(module), entry.public)(**arguments)

    def _check(self, dependency: Dependency) -> None:
        if reason := catalog.why_not((dependency,), self.capabilities):
            raise NotApplicable(reason)

    def _key(self, name: str) -> str:
        if name in self.facts.openers:
            return self.facts.digests.get(name, "")
        entry = catalog.quantities()[name]
        return self.key_of(str(entry.path.relative_to(catalog.PACKAGE)), (*entry.dependencies, Dependency("seed")))


@contextmanager
def watched(name: str) -> Iterator[None]:
    """Logs a quantity or metric that takes long, and names it where the time limit ends its computation."""
    started = time.perf_counter()
    try:
        yield
    except TimeLimitExceeded as error:
        raise TimeLimitExceeded(f"{error}, while computing {name}") from error
    seconds = time.perf_counter() - started
    if seconds > SLOW_SECONDS:
        logger.info("%s took %.0f s", name, seconds)


def as_array(value):
    """A quantity as a metric takes it: arrays in place of tensors, and of a probe's result its values."""
    if isinstance(value, ProbeResult):
        value = value.values
    return value.numpy() if isinstance(value, Tensor) else value


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
