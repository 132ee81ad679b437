"""The verb that looks over a results folder: list.

vision-study list --results results
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from analysis.cli.arguments import FormatOption
from analysis.cli.output import print_notes
from analysis.read.errors import StudyError
from analysis.tell.formats import Format

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer()


@app.command("list")
def list_studies(
    results: Annotated[Path, typer.Option(help="Where study folders lie.")] = Path("results"),
    format: FormatOption = Format.TEXT,
) -> None:
    """The studies of a results folder, the latest first: phases done, trials by state, the best model."""
    from analysis.weigh.overview import overview

    show(results, format, overview)


def show(results: Path, format: Format, overview: Callable[[Path], tuple[pd.DataFrame, list[str]]]) -> None:
    """Print the table and the notes that `overview` makes of a results folder. Raises StudyError where there is none."""
    from analysis.tell.tables import print_frame

    if not results.is_dir():
        raise StudyError(f"--results {results}: no such folder; run a study first, or name the folder of your studies")
    table, notes = overview(results)
    print_notes(notes or ([] if len(table) else [f"{results} holds no study; run one with: vision-study run"]))
    if len(table):
        print_frame(table, format)
