"""Which candidates hold limits such as latency_ms_p99 of 5 ms: certainly, perhaps or not, by the timings in profile.csv."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from analysis.read.candidates import terms
from analysis.read.columns import has_values
from analysis.read.errors import StudyError
from analysis.read.study_folder import Study
from analysis.read.timings import timing
from record.errors import UserError
from record.limits import NOT, Limit, known, parse


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
