"""The verbs that weigh up a study: report, figures, compare, importance.

python -m analysis report results/digits_compare
python -m analysis report results/a results/b --to both.html
python -m analysis compare results/digits_compare --format markdown
"""

from pathlib import Path
from typing import Annotated

import typer

from analysis.cli.arguments import Folder, Folders, FormatOption
from analysis.cli.output import print_notes, writing
from analysis.tell.formats import Format
from record.folder import StudyFolder

app = typer.Typer()


@app.command()
def report(
    folders: Folders,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", help="The file to write [default: STUDY_DIR/report.html, of several studies NAME+NAME.html]."
        ),
    ] = None,
) -> None:
    """Write the study, finished or still running, or several of the same data, as one HTML page that opens from disk."""
    from analysis.tell.report import write_report

    with writing("the report", to or folders[0]):
        print(write_report(*folders, path=to))


@app.command()
def figures(
    folder: Folder,
    to: Annotated[Path | None, typer.Option("--to", help="The folder for them [default: STUDY_DIR/figures].")] = None,
) -> None:
    """Draw the report's pictures as PNG files."""
    from analysis.read.study_folder import load
    from analysis.tell.pictures.png import write_figures

    study = load(folder)
    with writing("the figures", to or folder):
        for path in write_figures(study, to or StudyFolder(folder).figures):
            print(path)


@app.command()
def compare(folders: Folders, format: FormatOption = Format.TEXT) -> None:
    """Which confirmed candidates differ in test accuracy from the most accurate one, and what would tell others apart."""
    from analysis.read.study_folder import load
    from analysis.tell.tables import print_frame
    from analysis.tell.tuning import caveats, other_settings
    from analysis.weigh.comparison import comparisons

    study = load(*folders)
    pairs = comparisons(study)
    print_notes(study.notes)
    print_notes(
        [*other_settings(study, pairs), *caveats(study)]
        if len(pairs)
        else ["fewer than two candidates were confirmed: there is nothing to compare"]
    )
    if format is Format.TEXT:
        pairs = pairs.drop(columns="p")
    print_frame(pairs, format)


@app.command()
def importance(folders: Folders, format: FormatOption = Format.TEXT) -> None:
    """How much each searched setting moved accuracy and speed, per model (fANOVA)."""
    from analysis.read.study_folder import load
    from analysis.tell.tables import print_frame
    from analysis.weigh.importance import importance as weigh

    study = load(*folders)
    shares, remarks = weigh(study)
    print_notes([*study.notes, *remarks])
    print_frame(shares, format)
