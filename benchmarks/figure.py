"""What a measurement gives: figures, some with a goal, and details that only the JSON file and a table below them hold."""

from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Figure:
    """One number. `at_most` or `at_least` is its goal, where it has one."""

    name: str
    value: float
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None

    @property
    def reached(self) -> bool | None:
        """Whether the goal is; None where there is none."""
        if self.at_most is not None:
            return self.value <= self.at_most
        return self.value >= self.at_least if self.at_least is not None else None

    def __str__(self):
        digits = f"{self.value:,.0f}" if isinstance(self.value, int) or self.value >= 1000 else f"{self.value:,.2f}"
        line = f"  {self.name:<42}{digits:>9} {self.unit}"
        if self.reached is None:
            return line.rstrip()
        goal = f"at most {self.at_most:g}" if self.at_most is not None else f"at least {self.at_least:g}"
        return f"{line:<74}goal: {goal:<12} {'reached' if self.reached else 'NOT reached'}"


@dataclass(frozen=True)
class ProbeResult:
    """One measurement: a title, its figures, lines to print below them, and the raw numbers."""

    title: str
    figures: list[Figure]
    lines: list[str] = field(default_factory=list)
    raw: dict = field(default_factory=dict)

    def __str__(self):
        return "\n".join([self.title, *map(str, self.figures), *(f"  {line}".rstrip() for line in self.lines)])

    def as_json(self) -> dict:
        """Plain dicts, each figure with whether its goal is reached."""
        return {"figures": [asdict(figure) | {"reached": figure.reached} for figure in self.figures], "raw": self.raw}
