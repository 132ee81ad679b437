"""Limits of what a model may cost, such as latency_ms_p99 of 5: whether what was timed alone holds them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from record import figures
from record.errors import UserError, nearest

CERTAINLY, PERHAPS, NOT = "certainly", "perhaps", "not"
VERDICTS = (CERTAINLY, PERHAPS, NOT)  # from the best to the worst
_ENDS = (("_low", "_high"), ("_q1", "_q3"))  # of columns with the ends of a figure's interval


@dataclass(frozen=True)
class Limit:
    """An upper limit of a figure of which less is better; of one of which more is better, a lower one."""

    name: str
    value: float

    @property
    def is_upper(self) -> bool:
        return figures.BY_NAME[self.name].better == "less"

    def __str__(self) -> str:
        """ "under latency_ms_p99 5 ms"."""
        return f"{'under' if self.is_upper else 'above'} {self.name} {_shown(self.name, self.value, '.10g')}"

    def holds(self, value: float) -> bool:
        return value <= self.value if self.is_upper else value >= self.value

    def excess(self, row: Mapping[str, object]) -> float:
        """By which factor the figure of a timing is beyond the limit; 1 or less where it holds, infinite where it is unknown."""
        value = number(row.get(self.name))
        if math.isnan(value):
            return math.inf
        return value / self.value if self.is_upper else self.value / value if value else math.inf

    def verdict(self, row: Mapping[str, object]) -> str:
        """CERTAINLY or NOT where the whole interval of the figure is on one side of the limit, else PERHAPS.

        row: a timing, with the columns of profile.csv. The interval is that of the percentiles of the latency, 95 %, and of
        a speed the quartiles over its repeats, which for 20 of them is about the same, both widened to the `uncertainty` of
        the timing; a figure without one counts as exact. A disturbed timing is too slow, by nobody knows how much: no time
        and no speed is NOT within a limit by it.
        """
        value = number(row.get(self.name))
        if math.isnan(value):
            return PERHAPS
        low, high = interval(self.name, row)
        is_clocked = figures.BY_NAME[self.name].clocked
        if is_clocked and not math.isnan(uncertainty := number(row.get("uncertainty"))):
            low, high = min(low, value / (1 + uncertainty)), max(high, value * (1 + uncertainty))
        if self.holds(low) and self.holds(high):
            return CERTAINLY
        disturbed = is_clocked and isinstance(row.get("busy"), str)
        return PERHAPS if disturbed or self.holds(low) or self.holds(high) else NOT


def measured(name: str, row: Mapping[str, object]) -> str:
    """A figure of a timing with its interval: "4.2 ms (4 to 4.6)"."""
    if math.isnan(value := number(row.get(name))):
        return "not measured"
    low, high = interval(name, row)
    return _shown(name, value, ".4g") + (f" ({low:.4g} to {high:.4g})" if low < high else "")


def _shown(name: str, value: float, form: str) -> str:
    """With its unit; whole numbers with all digits."""
    figure = figures.BY_NAME[name]
    whole = figure.type == "Int64" and value.is_integer()
    return f"{value:{',.0f' if whole else form}} {figure.unit}".rstrip()


def interval(name: str, row: Mapping[str, object]) -> tuple[float, float]:
    """The ends of a figure's interval in a timing: infinite where too few calls bound it."""
    for columns in ([f"{name}{end}" for end in ends] for ends in _ENDS):
        low, high = (number(row.get(column)) for column in columns)
        if not math.isnan(low):
            return low, math.inf if math.isnan(high) else high
    value = number(row.get(name))
    return value, value


def ends(name: str) -> list[str]:
    """The columns of profile.csv that hold the ends of a figure's interval; [] where it has none."""
    return [f"{name}{end}" for pair in _ENDS for end in pair if f"{name}{end}" in figures.BY_NAME]


def known(task: str) -> list[str]:
    """What may be limited: the figures that are measured alone and have a direction."""
    return [figure.name for figure in figures.of(task) if figure.measured and figure.better]


def worst(verdicts: list[str]) -> str:
    """The verdict on several limits together; CERTAINLY without any."""
    return max(verdicts, key=VERDICTS.index, default=CERTAINLY)


def best(verdicts: list[str]) -> str:
    """The verdict on the best of several settings."""
    return min(verdicts, key=VERDICTS.index, default=PERHAPS)


def parse(text: str, task: str) -> Limit:
    """'latency_ms_p99=5' -> its limit. Raises UserError for another form, an unknown name, or no number above 0."""
    name, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"{text!r}: write NAME=NUMBER, such as latency_ms_p99=5")
    if name not in known(task):
        raise UserError(f"{text!r}: {unknown(name, task)}")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise UserError(f"{text!r}: a number above 0 is needed, got {value!r}")
    return Limit(name, number)


def unknown(name: str, task: str) -> str:
    return f"'{name}' is not a figure that is measured alone; {nearest(name, known(task))}"


def number(value: object) -> float:
    """NaN for nothing; so are an empty cell and pandas' missing whole number."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan
