"""The verbs that choose from a study's candidates: table, pareto, best.

python -m analysis table results/digits_compare
python -m analysis pareto results/a results/b --x train_seconds --y val_accuracy --format markdown
python -m analysis best results/digits_compare --above 500
python -m analysis best results/digits_compare --under latency_ms_p99=5 --under parameters=10e6
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from analysis.cli.arguments import Folders, FormatOption
from analysis.cli.output import print_notes
from analysis.read.errors import StudyError
from analysis.tell.formats import Format
from record import figures
from record.errors import nearest

if TYPE_CHECKING:
    import pandas as pd

    from analysis.read.study_folder import Study


class Phase(StrEnum):
    SEARCH = "search"
    CONFIRM = "confirm"


PhaseOption = Annotated[
    Phase | None,
    typer.Option(
        help="Choose from the search trials or the confirmed candidates [default: confirmed if every model has one]."
    ),
]
XOption = Annotated[str | None, typer.Option("--x", help="Speed or another column [default: the inference speed].")]
YOption = Annotated[
    str | None,
    typer.Option("--y", help="Accuracy or another column [default: test accuracy, else validation accuracy]."),
]
UnderOption = Annotated[
    list[str] | None,
    typer.Option(
        "--under",
        metavar="NAME=VALUE",
        help="A limit, such as latency_ms_p99=5 (of speeds, a lower one); repeatable [default: the space's limits].",
    ),
]

app = typer.Typer()


@app.command()
def table(folders: Folders, under: UnderOption = None, format: FormatOption = Format.TEXT) -> None:
    """One row per model: its best candidate, of those that hold the limits or may; settings, speed, cost."""
    from analysis.tell.summary import print_summary
    from analysis.tell.tables import print_frame
    from analysis.weigh.summary import summary

    study = _comparable(folders, under)
    if format is Format.TEXT:
        print_summary(study)
    else:
        print_notes([*study.notes, *_doubts(study, rows := summary(study))])
        print_frame(rows, format)


@app.command()
def pareto(
    folders: Folders,
    x: XOption = None,
    y: YOption = None,
    z: Annotated[str | None, typer.Option("--z", help="A third column, such as train_seconds.")] = None,
    phase: PhaseOption = None,
    under: UnderOption = None,
    format: FormatOption = Format.TEXT,
) -> None:
    """The candidates that no other beats in all of the given columns.

    Whether more or less of a figure is better is known; COLUMN:max or COLUMN:min says it for any other column.
    """
    from analysis.read.candidates import speed
    from analysis.tell.tables import print_frame
    from record.pareto import pareto_mask

    study = _comparable(folders, under)
    rows, accuracy = _rows(study, phase)
    names = [x or speed(study), y or accuracy, *([z] if z else [])]
    columns, maximise = zip(*(_column_and_direction(rows, name) for name in names), strict=True)
    if len(set(columns)) < len(columns):
        raise StudyError(f"--x, --y and --z must be different columns, not {' and '.join(columns)}")
    rows, limited = _within(study, rows)
    on_front = pareto_mask(rows[list(columns)].to_numpy(dtype=float, na_value=float("nan")), maximise)
    front = rows[on_front].sort_values(columns[0], kind="stable")
    print_notes([*study.notes, *_doubts(study, front)])
    print_frame(front[_shown(study, [*columns, *limited])], format)


@app.command()
def best(
    folders: Folders,
    x: XOption = None,
    y: Annotated[str | None, typer.Option("--y", help="Accuracy [default: the validation accuracy].")] = None,
    points: Annotated[
        float | None,
        typer.Option(help="Accuracy that may be given up for speed [default: 0.01, or 1 for BLEU].", min=0),
    ] = None,
    above: Annotated[float | None, typer.Option(help="The speed needed, such as 500 images/s.", min=0)] = None,
    under: UnderOption = None,
    phase: PhaseOption = None,
    format: FormatOption = Format.TEXT,
) -> None:
    """Which candidate for which need: the most accurate, the fastest nearly as accurate, the knee; of those that hold the
    limits, or may.

    Chosen by validation accuracy, so that the test split, shown beside it, stays unused.
    """
    from analysis.read.candidates import speed, terms
    from analysis.tell.answer import not_learnt
    from analysis.tell.tables import print_frame

    study = _comparable(folders, under)
    rows, shown_accuracy = _rows(study, phase)
    accuracy, more_y = _column_and_direction(rows, y or terms(study).validation)
    untimed = x is None and above is None and speed(study) in rows and rows[speed(study)].isna().all()
    speed_column, more_x = _column_and_direction(rows, accuracy if untimed else x or speed(study))
    if not (more_x and more_y):
        raise StudyError("best needs columns of which more is better; `pareto` also takes costs")
    rows, limited = _within(study, rows)
    needs = _picks(rows, accuracy, speed_column, terms(study).point if points is None else points, above)
    answers = _answers(needs)
    shown = ["need", *_shown(study, [accuracy, *([] if y else [shown_accuracy]), speed_column, *limited])]
    print_notes([*study.notes, *_doubts(study, answers)])
    print_frame(answers[shown].astype({"need": "str"}), format)
    print_notes(not_learnt(study))
    unanswered = [need for need, pick in needs.items() if pick.empty]
    print_notes(f"no candidate for: {need}" for need in unanswered)
    if len(unanswered) == len(needs):
        raise typer.Exit(1)


def _comparable(folders: list[Path], under: list[str] | None) -> Study:
    """The studies as one, under the given limits. Raises `StudyError` where they have different data."""
    from analysis.read.same_data import check_same_data, hardware_notes
    from analysis.read.study_folder import load
    from analysis.weigh.limits import limited

    study = load(*folders)
    check_same_data(study)
    print_notes(hardware_notes(study))
    return limited(study, under) if under else study


def _within(study: Study, rows: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The candidates that hold the limits, or may, and the columns that say so."""
    from analysis.tell.limits import nearest_miss
    from analysis.weigh.limits import column, holding, limits, verdicts

    asked = limits(study)
    held = holding(study, rows, asked)
    if held.empty and len(rows):
        print_notes([nearest_miss(study, rows, asked)])
    columns = [name for limit in asked for name in (limit.name, column(limit))]
    return held.join(verdicts(study, held, asked)), columns


def _doubts(study: Study, rows: pd.DataFrame) -> list[str]:
    """One line where search trials are among `rows`, which were chosen by the figure that is shown."""
    from analysis.read.candidates import UNCONFIRMED, terms
    from analysis.tell.wording import shortened

    names = rows.loc[rows["seeds"].isna(), "trial"].dropna() if "seeds" in rows else rows["trial"]
    if names.empty:
        return []
    shown = shortened(names.unique().tolist(), 4)
    return [f"{terms(study).validation} of {shown}: one training, the best of many ({UNCONFIRMED})"]


def _picks(
    rows: pd.DataFrame, accuracy: str, speed: str, points: float, above: float | None
) -> dict[str, pd.DataFrame]:
    """Need -> the row that answers it, or no row; without a speed (it is the accuracy) there is one need."""
    from analysis.weigh.tradeoff import fastest_within, knee, most_accurate_above

    needs = {"most accurate": most_accurate_above(rows, float("-inf"), accuracy, speed)}
    if speed == accuracy:
        return needs
    needs |= {
        f"fastest within {points:g} of the best": fastest_within(rows, points, accuracy, speed),
        "knee of the front": knee(rows, accuracy, speed),
    }
    if above is not None:
        needs[f"most accurate above {above:g}"] = most_accurate_above(rows, above, accuracy, speed)
    return needs


def _answers(needs: dict[str, pd.DataFrame]) -> pd.DataFrame:
    import pandas as pd

    return pd.concat([pick.assign(need=need) for need, pick in needs.items()])


def _rows(study: Study, phase: Phase | None) -> tuple[pd.DataFrame, str]:
    """The candidates to choose from, one per row, and their accuracy column."""
    from analysis.read.candidates import choices, confirmed, searched, terms

    if phase is None:
        return choices(study)
    if phase is Phase.SEARCH:
        return searched(study), terms(study).validation
    return confirmed(study), terms(study).tested


def _shown(study: Study, columns: list[str]) -> list[str]:
    from analysis.read.candidates import identity, settings

    return list(dict.fromkeys([*identity(study), *columns, *settings(study)]))


def _column_and_direction(rows: pd.DataFrame, option: str) -> tuple[str, bool]:
    """A column and whether more of it is better: `train_seconds` is known to be a cost, `lr:max` says it itself."""
    name, _, direction = option.partition(":")
    numbers = [str(column) for column in rows.select_dtypes("number") if rows.empty or rows[column].notna().any()]
    if name not in numbers:
        what = "holds no numbers in this study" if name in rows else "is not a column of trials.csv"
        raise StudyError(f"{name!r} {what}; {nearest(name, numbers)}")
    if direction in ("max", "min"):
        return name, direction == "max"
    if direction:
        raise StudyError(f"{option!r}: max or min must follow the colon, not {direction!r}")
    better = figures.BY_NAME[name].better if name in figures.BY_NAME else None
    if better is None:
        raise StudyError(f"{name}: say whether more is better, {name}:max, or less, {name}:min")
    return name, better == "more"
