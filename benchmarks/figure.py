"""One figure of a benchmark: its name, its target, what was measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """`reached` is None for a figure without a target, which is only reported."""

    name: str
    measured: str
    target: str = "none"
    reached: bool | None = None

    def __str__(self) -> str:
        verdict = {True: ": reached", False: ": NOT REACHED", None: ""}[self.reached]
        return f"{self.name}: {self.measured} (target: {self.target}{verdict})"


def at_least(name: str, value: float, target: float, unit: str = "x", note: str = "") -> Figure:
    return Figure(name, f"{value:.2f}{unit}{note}", f"{target:g}{unit} or more", value >= target)


def at_most(name: str, value: float, target: float, unit: str, note: str = "") -> Figure:
    return Figure(name, f"{value:.3g}{unit}{note}", f"{target:g}{unit} or less", value <= target)


def show(figures: Iterable[Figure]) -> None:
    """Print each figure as soon as it is known."""
    for figure in figures:
        print(figure, flush=True)
