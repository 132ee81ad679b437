"""The installed command: `vision-study run ...` is run_study.py, the other verbs are those of `python -m analysis`."""

from __future__ import annotations

import os
import sys

import typer

import run_study
from analysis.cli.main import app as verbs

app = typer.Typer(
    name="vision-study",
    help="Which model, with which settings, gives the best accuracy for the speed you need?",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("run")(run_study.main)
app.add_typer(verbs)


def main() -> None:
    """Run the command; bad input is one line on standard error and exit status 2."""
    try:
        run_study.leave(run_study.cli(app))
    except BrokenPipeError:  # the reader (`| head`) has gone; Python would complain when it closes standard output
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
