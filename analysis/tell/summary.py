"""The study in one table, one row a model, and the same for a terminal."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from analysis.read.candidates import choices, confirmed, front, quality, searched, settings, speed
from analysis.read.study_folder import Study
from analysis.tell.tables import grid
from analysis.weigh.tradeoff import best_per_model

STATES = ("complete", "pruned", "failed", "running")
_MAX_SETTING_COLUMNS = 3


def summary(study: Study) -> pd.DataFrame:
    """One row a model (and study): its best candidate with its settings, speed and cost, and its trials by state.

    A model with confirmed candidates is shown by the one of best validation accuracy, so that choosing it leaves the
    test split unused: `test_accuracy` is its mean over `seeds` runs, `test_accuracy_std` their standard deviation.
    Other models are shown by their best search trial and have no test accuracy. `on_front`: no candidate of any
    model beats this one in both accuracy and speed. States count the search's trials.
    """
    kind, speed_column = quality(study), speed(study)
    best = _best_candidates(study, f"val_{kind}")
    rows, accuracy = choices(study)
    winners = front(rows, accuracy, speed_column)
    identity = [*study.keys, "trial"]
    best["on_front"] = best.set_index(identity).index.isin(winners.set_index(identity).index)
    measures = [f"test_{kind}", f"test_{kind}_std", "seeds", f"val_{kind}"]
    costs = ["epochs", speed_column, "train_seconds", "parameters", "gflops_per_image", "peak_memory_mb"]
    columns = [*identity, *measures, *settings(study), *costs, "on_front", "weights", "data"]
    table = _counts(study).merge(best.reindex(columns=columns), on=study.keys, how="left")
    return table[[*columns, *STATES]].astype({"seeds": "Int64", "on_front": "boolean"})


def _best_candidates(study: Study, accuracy: str) -> pd.DataFrame:
    repeated = best_per_model(confirmed(study), accuracy, study.keys)
    once = best_per_model(searched(study), accuracy, study.keys)
    return pd.concat([repeated, once]).drop_duplicates(study.keys).reset_index(drop=True)


def _counts(study: Study) -> pd.DataFrame:
    """One row a model, in the order of the table, with the number of its search trials in each state."""
    trials = study.trials.assign(**{state: study.trials["state"] == state for state in STATES})
    trials.loc[trials["phase"] != "search", list(STATES)] = False
    return trials.groupby(study.keys, sort=False)[list(STATES)].sum().reset_index()


def print_summary(study: Study, console: Console | None = None) -> None:
    """Print what was run, the summary, the front, and every failure with its reason; legible at 80 columns."""
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


def conditions(study: Study) -> list[str]:
    """What the figures hold for: data and weights of the trials, hardware of the timings."""
    lines = []
    for title in ("data", "weights"):
        used = study.trials[["model", title]].dropna().drop_duplicates()
        if used[title].nunique() > 1:
            models = [f"{value} ({', '.join(rows['model'])})" for value, rows in used.groupby(title, sort=False)]
            lines.append(f"{title.capitalize()}: {'; '.join(models)}")
        elif len(used):
            lines.append(f"{title.capitalize()}: {used[title].iloc[0]}")
    for place, timings in study.profile.groupby(["hardware", "device"], dropna=False, sort=False):
        details = [" ".join(name for name in place if isinstance(name, str))]
        for column, form in (
            ("threads", "{} threads"),
            ("dtype", "{}"),
            ("batch", "batch {}"),
            ("image_size", "{} px"),
        ):
            if values := [str(value) for value in timings[column].dropna().unique()]:
                details.append(form.format(" or ".join(values)))
        lines.append(f"Speed measured alone on: {', '.join(filter(None, details))}")
    if disturbed := study.profile["busy"].notna().sum():
        lines.append(f"{disturbed} of {len(study.profile)} timings stayed disturbed (busy in profile.csv says by what)")
    return lines


def interpolation_error(study: Study) -> list[str]:
    """One line: how far the search's interpolated speeds were from those that the confirm phase timed exactly."""
    exact = speed(study)
    interpolated = exact.replace("inference_", "interpolated_")
    if not {exact, interpolated} <= {*study.profile}:
        return []
    errors = (study.profile[interpolated] / study.profile[exact] - 1).abs().dropna()
    if errors.empty:
        return []
    return [
        f"Interpolated speeds of {len(errors)} setting{'s' * (len(errors) != 1)} against exact timings: "
        f"median error {errors.median():.1%}, largest {errors.max():.1%}"
    ]


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


def trials_by_state(study: Study) -> str:
    """`16 search trials (12 complete, 3 pruned, 1 failed); 8 confirm trials (8 complete)`."""
    parts = []
    for phase, trials in study.trials.groupby("phase", sort=False):
        counts = trials["state"].value_counts()
        states = [
            f"{counts[state]} {state}" for state in (*STATES, *counts.index.difference(list(STATES))) if state in counts
        ]
        parts.append(f"{len(trials)} {phase} trial{'s' * (len(trials) != 1)} ({', '.join(states)})")
    return "; ".join(parts) or "no trial yet"


def _front_line(study: Study) -> list[str]:
    rows, accuracy = choices(study)
    if rows.empty:
        return []
    winners = front(rows, accuracy, speed(study)).to_dict("records")
    names = _some([_name(row, study) for row in winners], 12)
    return [f"Front ({accuracy} against {unit(speed(study))}, slowest first): {names or 'empty'}"]


def _failures(study: Study) -> list[str]:
    """One line a reason, with the trials that ended by it."""
    failed = study.trials[study.trials["state"] == "failed"]
    reasons = failed["error"].fillna("no reason recorded")
    return [
        f"Failed: {_some([_name(row, study) for row in trials.to_dict('records')], 4)}: "
        + " ".join(str(reason).split())
        for reason, trials in failed.groupby(reasons, sort=False)
    ]


def _some(names: list[str], most: int) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
