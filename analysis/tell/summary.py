"""The study in one table, one row per model, printed for a terminal."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from analysis.read.candidates import choices, front, quality, settings, speed
from analysis.read.conditions import conditions, interpolation_error, trials_by_state
from analysis.read.study_folder import Study
from analysis.tell.tables import grid
from analysis.weigh.summary import summary
from record.folder import FAILED

_MAX_SETTING_COLUMNS = 3


def print_summary(study: Study, console: Console | None = None) -> None:
    """Print what was run, the summary, the front, and every failure with its reason; readable at 80 columns."""
    console = console or Console()

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    table = summary(study)
    say(f"{', '.join(study.names)}: {trials_by_state(study)}")
    for line in conditions(study):
        say(line)
    parts = table.groupby("study", sort=False) if "study" in table else [("", table)]
    for name, part in parts:
        if len(part):
            console.print(_terminal_table(part, study, title=str(name)))
    for line in [*_legend(table, study), *_front_line(study), *interpolation_error(study), *_failures(study)]:
        say(line)
    for note in study.notes:
        say(f"Note: {note}")


def unit(speed_column: str) -> str:
    """`inference_images_per_second` -> "images/s"."""
    return speed_column.removeprefix("inference_").replace("_per_second", "/s").replace("_", " ")


def _terminal_table(table: pd.DataFrame, study: Study, title: str) -> Table:
    kind, speed_column = quality(study), speed(study)
    form = _form(kind)
    columns: dict[str, list[str]] = {"model": table["model"].to_list()}
    if table[f"test_{kind}"].notna().any():
        spreads = zip(table[f"test_{kind}"], table[f"test_{kind}_std"], strict=True)
        columns[f"test {kind}"] = [_with_spread(mean, spread, form) for mean, spread in spreads]
    columns[f"val {kind}"] = [_number(value, form) for value in table[f"val_{kind}"]]
    if len(named := settings(study)) <= _MAX_SETTING_COLUMNS:
        columns |= {name.replace("_", " "): [_number(value, "g") for value in table[name]] for name in named}
    columns[unit(speed_column)] = [_number(value, ",.0f") for value in table[speed_column]]
    columns["train s"] = [_number(value, ",.1f") for value in table["train_seconds"]]
    columns["front"] = ["-" if pd.isna(on) else "yes" if on else "no" for on in table["on_front"]]
    return grid(columns, text=["model"], title=title)


def _legend(table: pd.DataFrame, study: Study) -> list[str]:
    """What the table's cells mean, and the settings where they are too many for columns of their own."""
    lines = []
    if len(seeds := table["seeds"].dropna()):
        count = f"{seeds.min()}" if seeds.min() == seeds.max() else f"{seeds.min()} to {seeds.max()}"
        lines.append(f"test {quality(study)}: mean ± standard deviation over {count} seed{'s' * (count != '1')}")
    named = settings(study)
    if len(named) > _MAX_SETTING_COLUMNS:
        for row in table[table["trial"].notna()].to_dict("records"):
            known = [f"{name} {_number(row[name], 'g')}" for name in named if not pd.isna(row[name])]
            lines.append(f"{_name(row, study)}: {', '.join(known)}")
    return lines


def _name(row: Mapping[Any, Any], study: Study) -> str:
    return "/".join(str(row[key]) for key in (*study.keys[:-1], "trial"))


def _form(kind: str) -> str:
    return ".3f" if kind == "accuracy" else ".1f"


def _with_spread(mean: float, spread: float, form: str) -> str:
    around = "" if pd.isna(spread) else f" ± {spread:{form}}"
    return _number(mean, form) + around


def _number(value: Any, form: str) -> str:
    if pd.isna(value):
        return "-"
    return f"{value:.2g}" if form == "g" and isinstance(value, float) else format(value, form)


def _front_line(study: Study) -> list[str]:
    rows, accuracy = choices(study)
    if rows.empty:
        return []
    winners = front(rows, accuracy, speed(study)).to_dict("records")
    names = _some([_name(row, study) for row in winners], 12)
    return [f"Front ({accuracy} against {unit(speed(study))}, slowest first): {names or 'empty'}"]


def _failures(study: Study) -> list[str]:
    """One line a reason, with the trials that ended by it."""
    failed = study.trials[study.trials["state"] == FAILED]
    reasons = failed["error"].fillna("no reason recorded")
    return [
        f"Failed: {_some([_name(row, study) for row in trials.to_dict('records')], 4)}: "
        + " ".join(str(reason).split())
        for reason, trials in failed.groupby(reasons, sort=False)
    ]


def _some(names: list[str], most: int) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
