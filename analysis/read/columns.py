"""The tables of a study folder as typed frames, by the types that record/figures.py gives their columns.

A column of the task that is missing is added empty, an unknown one is kept as pandas reads it: a folder written by an
older or a newer version still loads.
"""

from pathlib import Path

import pandas as pd

from record import figures
from record.figures import Type

_TRUTH = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
_EXPECTED: dict[Type, str] = {"float64": "number", "Int64": "whole number", "boolean": "truth value", "str": "text"}


def types(task: str, table: str) -> dict[str, Type]:
    """Column -> type, for a table ("trials", "epochs" or "profile") of a study of this task."""
    return {figure.name: figure.type for figure in figures.of(task, table)}


def read_csv(path: Path, table: str) -> pd.DataFrame:
    """A table as pandas reads it, except that text stays text; no rows where the file is missing or empty.

    Raises `ValueError` (also as pandas' `ParserError`) where the file is not a table.
    """
    as_text = {f.name: "str" for f in figures.FIGURES if table in f.tables and f.type in ("str", "boolean")}
    try:
        return pd.read_csv(path, dtype=as_text)
    except (FileNotFoundError, pd.errors.EmptyDataError):
        return pd.DataFrame()


def convert(frame: pd.DataFrame, columns: dict[str, Type]) -> list[str]:
    """Give `frame` these columns with their types, in place; one line for each whose values do not all fit."""
    problems = []
    for name, kind in columns.items():
        given = frame[name] if name in frame else pd.Series(pd.NA, index=frame.index, dtype="str")
        frame[name] = typed = _convert(given, kind)
        lost = int((given.notna() & typed.isna()).sum())
        if lost:
            problems.append(f"left out {lost} value{'s' * (lost != 1)} of {name}: not a {_EXPECTED[kind]}")
    return problems


def _convert(values: pd.Series, kind: Type) -> pd.Series:
    if kind == "str":
        return values.astype("str")
    if kind == "boolean":
        return values.str.lower().map(_TRUTH).astype("boolean")
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    if kind == "Int64":
        return numbers.where(numbers % 1 == 0).astype("Int64")
    return numbers


def has_values(frame: pd.DataFrame, column: str) -> bool:
    return column in frame and bool(frame[column].notna().any())
