"""One figure of a benchmark: what it is, what is asked of it, what was measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """`reached` is None where nothing is asked: the figure is only reported."""

    what: str
    measured: str
    asked: str = "report it"
    reached: bool | None = None

    def __str__(self) -> str:
        verdict = {True: ": reached", False: ": NOT REACHED", None: ""}[self.reached]
        return f"{self.what}: {self.measured} (asked: {self.asked}{verdict})"


def at_least(what: str, value: float, least: float, unit: str = "x", note: str = "") -> Figure:
    return Figure(what, f"{value:.2f}{unit}{note}", f"{least:g}{unit} or more", value >= least)


def at_most(what: str, value: float, most: float, unit: str, note: str = "") -> Figure:
    return Figure(what, f"{value:.3g}{unit}{note}", f"{most:g}{unit} or less", value <= most)


def show(figures: Iterable[Figure]) -> None:
    """Print each figure as soon as it is known."""
    for figure in figures:
        print(figure, flush=True)
