"""The command line: questions to one or several study folders.

python -m analysis table results/digits_compare
python -m analysis pareto results/a results/b --x train_seconds --y val_accuracy --format markdown
python -m analysis best results/digits_compare --above 500
"""

import os
import sys
from collections.abc import Sequence
from enum import StrEnum
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from typer.exceptions import TyperException

from analysis.cli import merging as cli_merging
from analysis.cli import report as cli_report
from analysis.cli import takeaway as cli_takeaway
from analysis.cli import translation as cli_translation
from analysis.read.candidates import choices, confirmed, quality, searched, settings, speed
from analysis.read.study_folder import Study, StudyError, load
from analysis.tell.summary import print_summary, summary
from analysis.tell.tables import Format, print_frame
from analysis.weigh.tradeoff import fastest_within, knee, most_accurate_above
from record.errors import nearest
from record.pareto import pareto_mask

_COSTS = (
    "_seconds",
    "_seconds_per_epoch",
    "_loss",
    "_ms",
    "_mb",
    "gflops_per_image",
    "parameters",
    "train_size",
    "epochs",
)
_GAINS = ("_accuracy", "_bleu", "_per_second")


class Phase(StrEnum):
    SEARCH = "search"
    CONFIRM = "confirm"


Folders = Annotated[
    list[Path], typer.Argument(metavar="STUDY_DIR...", help="Study folders, such as results/digits_compare.")
]
FormatOption = Annotated[Format, typer.Option("--format", help="How to print the table.")]
PhaseOption = Annotated[
    Phase | None,
    typer.Option(
        help="Decide from the search or the confirmed candidates [default: confirmed if every model has one]."
    ),
]
XOption = Annotated[str | None, typer.Option("--x", help="Speed or another column [default: the inference speed].")]
YOption = Annotated[
    str | None,
    typer.Option("--y", help="Accuracy or another column [default: test accuracy, else validation]."),
]

app = typer.Typer(
    help="Ask a study folder, finished or running.",
    add_completion=False,
    rich_markup_mode=None,
)


@app.command()
def table(folders: Folders, format: FormatOption = Format.TEXT) -> None:
    """One row a model: its best candidate, settings, speed, cost."""
    study = load(*folders)
    if format is Format.TEXT:
        print_summary(study)
    else:
        _tell(study.notes)
        print_frame(summary(study), format)


@app.command()
def pareto(
    folders: Folders,
    x: XOption = None,
    y: YOption = None,
    z: Annotated[str | None, typer.Option("--z", help="A third column, such as train_seconds.")] = None,
    phase: PhaseOption = None,
    format: FormatOption = Format.TEXT,
) -> None:
    """The candidates that no other beats in all the columns asked for.

    A column counts as a gain or a cost by its name; COLUMN:max or COLUMN:min says it for any other.
    """
    study = load(*folders)
    rows, accuracy = _rows(study, phase)
    asked = [x or speed(study), y or accuracy, *([z] if z else [])]
    columns, maximise = zip(*(_column_and_direction(rows, name) for name in asked), strict=True)
    if len(set(columns)) < len(columns):
        raise StudyError(f"--x, --y and --z must be different columns, not {' and '.join(columns)}")
    on_front = pareto_mask(rows[list(columns)].to_numpy(dtype=float, na_value=float("nan")), maximise)
    found = rows[on_front].sort_values(columns[0], kind="stable")
    _tell(study.notes)
    print_frame(found[_shown(study, list(columns))], format)


@app.command()
def best(
    folders: Folders,
    x: XOption = None,
    y: Annotated[str | None, typer.Option("--y", help="Accuracy [default: the validation accuracy].")] = None,
    points: Annotated[
        float | None,
        typer.Option(help="Accuracy that may be given up for speed [default: 0.01, or 1 for BLEU].", min=0),
    ] = None,
    above: Annotated[float | None, typer.Option(help="Least speed asked for, such as 500 images/s.", min=0)] = None,
    phase: PhaseOption = None,
    format: FormatOption = Format.TEXT,
) -> None:
    """Which candidate for which need: the most accurate, the fastest nearly as accurate, the knee.

    Chosen by validation accuracy, so that the test split, shown beside it, stays unused.
    """
    study = load(*folders)
    rows, shown_accuracy = _rows(study, phase)
    speed_column, gain_x = _column_and_direction(rows, x or speed(study))
    accuracy, gain_y = _column_and_direction(rows, y or f"val_{quality(study)}")
    if not (gain_x and gain_y):
        raise StudyError("best takes columns of which more is better; `pareto` takes costs, too")
    points = points if points is not None else (1.0 if quality(study) == "bleu" else 0.01)
    needs = {
        "most accurate": most_accurate_above(rows, float("-inf"), accuracy, speed_column),
        f"fastest within {points:g} of the best": fastest_within(rows, points, accuracy, speed_column),
        "knee of the front": knee(rows, accuracy, speed_column),
    }
    if above is not None:
        needs[f"most accurate above {above:g}"] = most_accurate_above(rows, above, accuracy, speed_column)
    answers = [found.assign(need=need) for need, found in needs.items()]
    shown = ["need", *_shown(study, [accuracy, *([] if y else [shown_accuracy]), speed_column])]
    _tell(study.notes)
    print_frame(pd.concat(answers)[shown].astype({"need": "str"}), format)
    unanswered = [need for need, found in needs.items() if found.empty]
    _tell([f"no candidate for: {need}" for need in unanswered])
    if len(unanswered) == len(needs):
        raise typer.Exit(1)


app.add_typer(cli_report.app)
app.add_typer(cli_takeaway.app)
app.add_typer(cli_translation.app)
app.add_typer(cli_merging.app)


def main() -> None:
    """Run the command line; what a user can mend is one line on standard error and exit status 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without "±" still gets its table
    try:
        status = app(sys.argv[1:] or ["--help"], standalone_mode=False)
        sys.stdout.flush()
    except (StudyError, TyperException) as error:
        message = error.format_message() if isinstance(error, TyperException) else str(error)
        _tell([f"analysis: {' '.join(message.split())}"])
        status = 2
    except BrokenPipeError:
        # The reader (`| head`) has gone; without this, Python complains again when it closes standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    sys.exit(status)


def _tell(lines: Sequence[str]) -> None:
    """Remarks go to standard error, so that a table can be piped into another program."""
    for line in lines:
        print(line, file=sys.stderr)


def _rows(study: Study, phase: Phase | None) -> tuple[pd.DataFrame, str]:
    """The candidates to choose from, one a row, and their accuracy column."""
    if phase is None:
        return choices(study)
    if phase is Phase.SEARCH:
        return searched(study), f"val_{quality(study)}"
    return confirmed(study), f"test_{quality(study)}"


def _shown(study: Study, columns: list[str]) -> list[str]:
    return list(dict.fromkeys([*study.keys, "trial", *columns, *settings(study)]))


def _column_and_direction(rows: pd.DataFrame, asked: str) -> tuple[str, bool]:
    """`train_seconds` -> ("train_seconds", False): its name says that less is better; `lr:max` says it itself."""
    name, _, direction = asked.partition(":")
    numbers = [str(column) for column in rows.select_dtypes("number") if rows.empty or rows[column].notna().any()]
    if name not in numbers:
        what = "holds no numbers in this study" if name in rows else "is no column of trials.csv"
        raise StudyError(f"{name!r} {what}; {nearest(name, numbers)}")
    if direction in ("max", "min"):
        return name, direction == "max"
    if direction:
        raise StudyError(f"{asked!r}: after the colon comes max or min, not {direction!r}")
    if not name.endswith(_GAINS + _COSTS):
        raise StudyError(f"{name}: say whether more is better, {name}:max, or less, {name}:min")
    return name, not name.endswith(_COSTS)
