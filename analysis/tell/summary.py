"""The study in one table, one row per model, printed for a terminal."""

from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from analysis.read.candidates import UNCONFIRMED, choices, front, settings, speed, terms
from analysis.read.conditions import conditions, interpolation_error, trials_by_state
from analysis.read.study_folder import Study
from analysis.read.timings import doubt
from analysis.tell.answer import not_learnt
from analysis.tell.headline import headline
from analysis.tell.tables import grid
from analysis.tell.wording import choice_name, count, shortened, trial_name
from analysis.weigh.comparison import comparisons, intervals
from analysis.weigh.limits import holding, limits
from analysis.weigh.summary import summary
from record.figures import BY_NAME, NOISE
from record.folder import FAILED

_MAX_SETTING_COLUMNS = 3


def print_summary(study: Study, console: Console | None = None) -> None:
    """Print the answer in a sentence and how sure it is, the summary, what was run, every failure with its reason, the front;
    readable at 80 columns."""
    console = console or Console()

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    table = summary(study)
    found = headline(study, intervals(study), comparisons(study))
    for line in (found.use, *(f"{title}: {' '.join(said)}" for title, said in found.parts)):
        say(f"{line}\n")
    if len(table):
        console.print(_terminal_table(table, study))
    lines = [
        *_legend(table, study),
        f"{', '.join(study.names)}: {trials_by_state(study)}",
        *conditions(study),
        *(line for line in not_learnt(study) if line != found.use),
        *_failures(study),
        *_front_line(study),
        *interpolation_error(study),
    ]
    for line in lines:
        say(line)
    for note in study.notes:
        say(f"Note: {note}")


def _terminal_table(table: pd.DataFrame, study: Study) -> Table:
    words = terms(study)
    form = ".3f" if words.is_share else ".1f"
    names = table["model"].to_list()
    if study.several_engines:  # in one column, which folds between words: a second one would break them
        names = [
            f"{name} in {engine}" if isinstance(engine, str) else name
            for name, engine in zip(names, table["engine"], strict=True)
        ]
    columns: dict[str, list[str]] = {"study": table["study"].to_list()} if "study" in table else {}
    columns["model"] = names
    if table[words.tested].notna().any():
        spreads = zip(table[words.tested], table[f"{words.tested}_std"], strict=True)
        columns[f"test {words.quality}"] = [_with_spread(mean, spread, form) for mean, spread in spreads]
    columns[f"val {words.quality}"] = [_number(value, form) for value in table[words.validation]]
    if len(named := settings(study)) <= _MAX_SETTING_COLUMNS:
        columns |= {name.replace("_", " "): [_number(value, "g") for value in table[name]] for name in named}
    speeds = zip(table.to_dict("records"), table[words.speed], strict=True)
    columns[BY_NAME[words.speed].unit] = [
        ("~" if doubt(study, row) and not pd.isna(value) else "") + _number(value, ",.0f") for row, value in speeds
    ]
    columns["train s"] = [_number(value, ",.1f") for value in table["train_seconds"]]
    columns["front"] = ["-" if pd.isna(on) else "yes" if on else "no" for on in table["on_front"]]
    return grid(columns, text=["study", "model"])


def _legend(table: pd.DataFrame, study: Study) -> list[str]:
    """What the table's cells mean, and the settings where they are too many for columns of their own."""
    lines = []
    if len(seeds := table["seeds"].dropna()):
        over = count(seeds.max(), "seed") if seeds.min() == seeds.max() else f"{seeds.min()} to {seeds.max()} seeds"
        lines.append(f"test {terms(study).quality}: mean ± standard deviation over {over}")
    if table.loc[table["trial"].notna(), "seeds"].isna().any():
        without = "" if table["seeds"].isna().all() else " where test is empty"
        lines.append(f"val {terms(study).quality}{without}: the best of many single trainings ({UNCONFIRMED})")
    if table["on_front"].any():
        lines.append("front: yes where no other candidate is both faster and more accurate")
    rows = table[table[speed(study)].notna()].to_dict("records")
    if any(doubt(study, row) for row in rows):
        lines.append(f"~: a speed whose timing was disturbed or is uncertain by more than {NOISE:.0%}")
    named = settings(study)
    if len(named) > _MAX_SETTING_COLUMNS:
        for row in table[table["trial"].notna()].to_dict("records"):
            known = [f"{name} {_number(row[name], 'g')}" for name in named if not pd.isna(row[name])]
            lines.append(f"{choice_name(row, study)}: {', '.join(known)}")
    return lines


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
    column = speed(study)
    rows = holding(study, rows, limits(study))
    names = shortened([choice_name(row, study) for row in front(rows, accuracy, column).to_dict("records")], 12)
    of = "".join(f", {limit}" for limit in limits(study))
    return [f"Front ({accuracy} against {BY_NAME[column].unit}, slowest first{of}): {names or 'empty'}"]


def _failures(study: Study) -> list[str]:
    """One line per reason, with the trials that failed for it."""
    failed = study.trials[study.trials["state"] == FAILED]
    reasons = failed["error"].fillna("no reason recorded")
    return [
        f"Failed: {shortened([trial_name(row, study) for row in trials.to_dict('records')], 4)}: "
        + " ".join(str(reason).split())
        for reason, trials in failed.groupby(reasons, sort=False)
    ]
