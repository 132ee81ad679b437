"""The arguments and options that several verbs share. Nothing slow is imported here or at the top of a verb's module."""

from pathlib import Path
from typing import Annotated

import typer

from analysis.tell.formats import Format

Folder = Annotated[Path, typer.Argument(metavar="STUDY_DIR", help="A study folder, such as results/digits_compare.")]
Folders = Annotated[
    list[Path], typer.Argument(metavar="STUDY_DIR...", help="Study folders, such as results/digits_compare.")
]
FormatOption = Annotated[Format, typer.Option("--format", help="How to print the table.")]
TrialOption = Annotated[
    str, typer.Option(metavar="best|knee|NAME", help="Trial to use: best, knee, or a name from the table.")
]
