"""Which candidates hold limits such as latency_ms_p99 of 5 ms: certainly, perhaps or not, by the timings in profile.csv."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from analysis.read.candidates import terms
from analysis.read.columns import has_values
from analysis.read.errors import StudyError
from analysis.read.study_folder import Study
from record import figures
from record.errors import UserError
from record.limits import NOT, Limit, interval, known, parse

Timing = Mapping[Any, Any]  # a row of profile.csv


def limits(study: Study) -> list[Limit]:
    """Those of the space; of merged studies, if they have the same ones."""
    given = [spec.get("limits") or {} for spec in study.specs.values()]
    names = set(known(terms(study).name))
    same = all(each == given[0] for each in given) and isinstance(given[0], dict)
    return [Limit(name, float(value)) for name, value in given[0].items() if name in names] if same else []


def limited(study: Study, options: Sequence[str]) -> Study:
    """The study as if its space had the limits that the options name, NAME=VALUE, and no others.

    Raises StudyError for an option that is no limit, or of what the study did not measure.
    """
    try:
        asked = [parse(option, terms(study).name) for option in options]
    except UserError as error:
        raise StudyError(f"--under {error}") from error
    for limit in asked:
        if not has_values(study.trials, limit.name):
            raise StudyError(
                f"--under {limit.name}={limit.value:g}: this study did not measure it: an older version ran it, or it has "
                "no profile phase"
            )
    own = {"limits": {limit.name: limit.value for limit in asked}}
    return replace(study, specs={name: spec | own for name, spec in study.specs.items()})


def column(limit: Limit) -> str:
    """The name of the column that says whether a candidate holds it."""
    return f"{'under' if limit.is_upper else 'above'}_{limit.name}"


def verdicts(study: Study, rows: pd.DataFrame, of: Sequence[Limit]) -> pd.DataFrame:
    """A column for each limit: `certainly`, `perhaps` or `not`, for each of the candidates `rows`."""
    records = rows.to_dict("records")
    columns = {column(limit): [limit.verdict(timing(study, row, limit.name)) for row in records] for limit in of}
    return pd.DataFrame(columns, index=rows.index, dtype="str")


def holding(study: Study, rows: pd.DataFrame, of: Sequence[Limit]) -> pd.DataFrame:
    """The candidates that hold all limits, or may."""
    return rows[~(verdicts(study, rows, of) == NOT).any(axis=1)] if of else rows


def within_limits(study: Study, rows: pd.DataFrame) -> pd.DataFrame:
    """The candidates that hold the limits of the space, or may; all of them where none does."""
    held = holding(study, rows, limits(study))
    return rows if held.empty else held


def timing(study: Study, row: Mapping[Any, Any], name: str) -> Timing:
    """A figure of a candidate with its interval and what disturbed it: as it was timed at its settings; between two timed
    settings, the value that was interpolated, with an interval that holds those of both."""
    own = study.profile
    for key in (*study.keys, *(["engine"] if "engine" in own and not pd.isna(row.get("engine")) else [])):
        own = own[own[key] == row[key]]
    timings = own[own[name].notna()].to_dict("records") if name in own else []
    names = [str(c) for c in own if c in row and (c not in figures.BY_NAME or figures.BY_NAME[c].setting)]
    differing = [[c for c in names if not _alike(each[c], row[c])] for each in timings]
    if exact := [each for each, differ in zip(timings, differing, strict=True) if not differ]:
        return exact[-1]
    near = [(each, *differ) for each, differ in zip(timings, differing, strict=True) if len(differ) == 1]
    beside = _neighbours(near, row)
    ends = [interval(name, each) for each in beside]
    around = {f"{name}_low": min(low for low, _ in ends), f"{name}_high": max(high for _, high in ends)} if ends else {}
    busy = next((each["busy"] for each in beside if isinstance(each.get("busy"), str)), None)
    return {name: row[name], "busy": busy} | around


def _neighbours(near: Sequence[tuple[Any, ...]], row: Mapping[Any, Any]) -> list[Timing]:
    """The timings below and above the candidate in the one setting that differs; none unless there are both."""
    for setting in dict.fromkeys(name for _, name in near):
        at = {_number(each[setting]): each for each, name in near if name == setting}
        value = _number(row[setting])
        below, above = [x for x in at if x < value], [x for x in at if x > value]
        if below and above:
            return [at[max(below)], at[min(above)]]
    return []


def _alike(timed: object, value: object) -> bool:
    """Whether a candidate has the value of a timing, which may have none: it was not set."""
    if pd.isna(timed):  # type: ignore[call-overload]
        return True
    return timed == value or math.isclose(_number(timed), _number(value), rel_tol=1e-9)  # a mean over seeds is rounded


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan
