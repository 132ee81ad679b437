"""The verbs of the command line that weigh a study up: report, compare, importance, figures.

python -m analysis report results/digits_compare
python -m analysis compare results/digits_compare --format markdown
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from analysis.read.study_folder import StudyError, load
from analysis.tell.tables import Format, print_frame

Folder = Annotated[Path, typer.Argument(metavar="STUDY_DIR", help="A study folder, such as results/digits_compare.")]
Folders = Annotated[list[Path], typer.Argument(metavar="STUDY_DIR...", help="Study folders.")]
FormatOption = Annotated[Format, typer.Option("--format", help="How to print the table.")]

app = typer.Typer()


@app.command()
def report(
    folder: Folder,
    to: Annotated[Path | None, typer.Option("--to", help="The file to write [default: STUDY_DIR/report.html].")] = None,
) -> None:
    """Write the study as one HTML page that opens from disk, finished or still running."""
    from analysis.tell.report import write_report

    try:
        print(write_report(folder, to))
    except OSError as error:
        raise StudyError(
            f"{to or folder}: the report cannot be written: {error.strerror}; choose another --to"
        ) from error


@app.command()
def figures(
    folder: Folder,
    to: Annotated[Path | None, typer.Option("--to", help="The folder for them [default: STUDY_DIR/figures].")] = None,
) -> None:
    """Draw the report's pictures as PNG files."""
    from analysis.tell.pictures.png import write_figures

    study = load(folder)
    try:
        for path in write_figures(study, to or folder / "figures"):
            print(path)
    except OSError as error:
        raise StudyError(
            f"{to or folder}: the figures cannot be written: {error.strerror}; choose another --to"
        ) from error


@app.command()
def compare(folders: Folders, format: FormatOption = Format.TEXT) -> None:
    """Which confirmed candidates differ in test accuracy: each pair's tests, corrected for their number."""
    from analysis.weigh.comparison import comparisons

    study = load(*folders)
    found = comparisons(study)
    _tell([*study.notes, *([] if len(found) else ["no two candidates were confirmed: there is nothing to compare"])])
    if format is Format.TEXT:
        found = found.drop(columns=["only_first", "only_second", "p"])
    print_frame(found, format)


@app.command()
def importance(folders: Folders, format: FormatOption = Format.TEXT) -> None:
    """How much each searched setting moved accuracy and speed, by model (fANOVA)."""
    from analysis.weigh.importance import importance as weigh

    study = load(*folders)
    found, remarks = weigh(study)
    _tell([*study.notes, *remarks])
    print_frame(found, format)


def _tell(lines: Sequence[str]) -> None:
    for line in lines:
        print(line, file=sys.stderr)
