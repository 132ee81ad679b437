"""The isolated timing at the settings of a candidate, and whether its speed is to be relied on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.read.candidates import speed
from analysis.read.study_folder import Study
from record import figures
from record.figures import NOISE
from record.limits import interval, number

Timing = Mapping[Any, Any]  # a row of profile.csv


def timing(study: Study, row: Mapping[Any, Any], name: str) -> Timing:
    """A figure of a candidate with its interval and what makes it doubtful: as it was timed at its settings; between two
    timed settings, the value that was interpolated, with an interval that holds those of both."""
    timings = [
        each
        for each in study.timings.get(tuple(row[key] for key in study.keys), [])
        if pd.notna(each.get(name)) and ("engine" not in each or _alike(row.get("engine"), each["engine"]))
    ]
    names = [str(c) for c in study.profile if c in row and (c not in figures.BY_NAME or figures.BY_NAME[c].setting)]
    differing = [[c for c in names if not _alike(each[c], row[c])] for each in timings]
    if exact := [each for each, differ in zip(timings, differing, strict=True) if not differ]:
        return exact[-1]
    beside = _neighbours(
        [(each, *differ) for each, differ in zip(timings, differing, strict=True) if len(differ) == 1], row
    )
    between: dict[str, Any] = {name: row.get(name)}
    for column in ("busy", "uncertainty", "spread"):
        between[column] = max((each[column] for each in beside if pd.notna(each.get(column))), default=None)
    if beside:
        lows, highs = zip(*(interval(name, each) for each in beside), strict=True)
        between |= {f"{name}_low": min(lows), f"{name}_high": max(highs)}
    return between


def doubt(study: Study, row: Mapping[Any, Any]) -> str | None:
    """What to say beside the speed of a candidate (a row of study.trials) that is doubtful; None where it is not."""
    timed = timing(study, row, speed(study))
    if isinstance(busy := timed.get("busy"), str):
        return f"do not rely on this speed: {busy}"
    uncertainty = number(timed.get("uncertainty"))
    return f"uncertain by {uncertainty:.0%}" if uncertainty > NOISE else None


def _neighbours(near: Sequence[tuple[Any, ...]], row: Mapping[Any, Any]) -> list[Timing]:
    """The timings below and above the candidate in the one setting that differs; none unless there are both."""
    for setting in dict.fromkeys(name for _, name in near):
        at = {number(each[setting]): each for each, name in near if name == setting}
        value = number(row[setting])
        below, above = [x for x in at if x < value], [x for x in at if x > value]
        if below and above:
            return [at[max(below)], at[min(above)]]
    return []


def _alike(timed: object, value: object) -> bool:
    """Whether a candidate has the value of a timing; what either does not name was not set."""
    if pd.isna(timed) or pd.isna(value):  # type: ignore[call-overload]
        return True
    return timed == value or math.isclose(number(timed), number(value), rel_tol=1e-9)  # a mean over seeds is rounded
