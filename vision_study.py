"""The installed command: `vision-study run ...` is run_study.py, `plan` what it would buy, the other verbs are those of
`python -m analysis`."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

import run_study
from analysis.cli.arguments import FormatOption
from analysis.cli.main import app as verbs
from analysis.tell.formats import Format
from record.errors import UserError
from record.folder import StudyFolder
from record.mirror import Mirror
from service.cli import app as service_verbs
from study.space.overrides import Overrides

app = typer.Typer(
    name="vision-study",
    help="Which model, with which settings, gives the best accuracy for the speed you need?",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("run")(run_study.main)


@app.command()
def plan(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[STUDY_DIR]", help="A study that has begun: what further hours would buy.")
    ] = None,
    space: Annotated[str | None, typer.Option(metavar="NAME|FILE.yaml", help="A study that has not begun.")] = None,
    hours: Annotated[float, typer.Option(help="Hours to look at, besides 1, 3 and 10.")] = 3.0,
    chance: Annotated[
        float,
        typer.Option(help="Below it, the chances to be best and to be on the front mean 'cannot win'.", min=0, max=1),
    ] = run_study.CHANCE,
    data: Annotated[str | None, typer.Option(metavar="NAME|DIR", help="Replace the data set.")] = None,
    data_dir: Annotated[Path, typer.Option(help="Folder that holds the data sets.")] = Path("data"),
    weights: Annotated[str | None, typer.Option(metavar="none|timm|FILE", help="Replace pretrained weights.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any field, dotted.")] = None,
    address: Annotated[str | None, typer.Option(help="A running Ray cluster: auto or host:port.")] = None,
    format: FormatOption = Format.TEXT,
) -> None:
    """What 1, 3 and 10 hours would buy, and which cells can still win.

    A --space is timed and trained for a few pilot epochs per cell, which leaves nothing behind; of a STUDY_DIR, what it has
    recorded is read.
    """
    if not 0 < hours < math.inf:
        raise UserError(f"--hours {hours:g}: must be a number above 0")
    if (folder is None) == (space is None):
        raise UserError("plan takes either a study folder or a --space")
    times = sorted({*run_study.HOURS, hours})
    if space is not None:
        overrides = Overrides(data=data, weights=weights, settings=tuple(set_ or ()))
        run_study.plan_space(space, overrides, data_dir, address, times, chance, format)
        return
    if data or weights or set_ or address:
        raise UserError("--data, --weights, --set and --address go with --space: a study folder has them already")
    import analysis
    from analysis.cli.output import print_notes
    from analysis.tell.plan import print_plan

    study = analysis.load(str(folder))
    print_notes(study.notes)
    print_plan(study, times, chance, format)


@app.command()
def fetch(
    url: Annotated[str, typer.Argument(metavar="URL", help="A study's copy, as --results URL keeps it: URL/NAME.")],
    to: Annotated[Path | None, typer.Option(help="The study folder to make; results/NAME if left out.")] = None,
) -> None:
    """Bring a study that is kept at a URL here, or what is new of it: then every other verb works on the folder."""
    mirror = Mirror(url)
    folder = StudyFolder(to or run_study.RESULTS / mirror.name)
    mirror.meet(folder)
    if not folder.is_study():
        raise UserError(f"{url}: no study is kept there; name URL/NAME")
    print(folder.path)


app.add_typer(verbs)
app.add_typer(service_verbs)  # whose `list` also says which studies run


def main() -> None:
    """Run the command; bad input is one line on standard error and exit status 2."""
    try:
        run_study.leave(run_study.cli(app))
    except BrokenPipeError:  # the reader (`| head`) has gone; Python would complain when it closes standard output
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
