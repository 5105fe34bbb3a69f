"""What a benchmark returns: numbers, some with a goal, and details for the JSON file."""

from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Result:
    """One number, perhaps with a goal.

    Attributes:
        name: what was measured.
        value: the number.
        unit: of the number.
        at_most: the goal, where smaller is better.
        at_least: the goal, where larger is better.
    """

    name: str
    value: float
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None where there is no goal."""
        if self.at_most is not None:
            return self.value <= self.at_most
        return self.value >= self.at_least if self.at_least is not None else None

    @property
    def ratio(self) -> float | None:
        """The number divided by the goal; None where there is no goal."""
        goal = self.at_most if self.at_most is not None else self.at_least
        return None if goal is None else self.value / goal

    def __str__(self) -> str:
        digits = f"{self.value:,.0f}" if isinstance(self.value, int) or self.value >= 1000 else f"{self.value:,.2f}"
        line = f"  {self.name:<46}{digits:>9} {self.unit:<6}"
        if self.ratio is None:
            return line.rstrip()
        goal = f"<= {self.at_most:g}" if self.at_most is not None else f">= {self.at_least:g}"
        return f"{line}  {goal:>9}{self.ratio:>8.2f}  {'reached' if self.reached else 'NOT reached'}"


@dataclass(frozen=True)
class Measurement:
    """The results of one benchmark.

    Attributes:
        title: what was measured, and how.
        results: the numbers.
        lines: further lines to print below them.
        raw: the single measurements, for the JSON file.
    """

    title: str
    results: list[Result]
    lines: list[str] = field(default_factory=list)
    raw: dict = field(default_factory=dict)

    def __str__(self) -> str:
        heads = f"  {'':<46}{'measured':>9} {'':<6}  {'goal':>9}{'ratio':>8}"
        return "\n".join([self.title, heads, *map(str, self.results), *(f"  {line}".rstrip() for line in self.lines)])

    def as_json(self) -> dict:
        """Plain dicts; each result says whether its goal is reached."""
        return {
            "results": [asdict(result) | {"ratio": result.ratio, "reached": result.reached} for result in self.results],
            "raw": self.raw,
        }
