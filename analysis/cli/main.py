"""The command line: questions to one or several study folders.

python -m analysis table results/digits_compare
"""

import os
import sys
from io import TextIOWrapper

import typer
from typer.exceptions import TyperException

from analysis.cli import choose, listing, merging, report, takeaway, translation
from analysis.cli.output import print_notes
from record.errors import UserError, unusable_path

app = typer.Typer(help="Ask a study folder, finished or running.", add_completion=False, rich_markup_mode=None)
for verbs in (listing, choose, report, takeaway, translation, merging):
    app.add_typer(verbs.app)


def main() -> None:
    """Run the command line; an error that the user can fix is one line on standard error and exit status 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without "±" still gets its table
    try:
        status = app(sys.argv[1:] or ["--help"], standalone_mode=False)
        sys.stdout.flush()
    except (UserError, TyperException) as error:
        message = error.format_message() if isinstance(error, TyperException) else str(error)
        print_notes([f"analysis: {' '.join(message.split())}"])
        status = 2
    except BrokenPipeError:
        # The reader (`| head`) has gone; without this, Python complains again when it closes standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    except OSError as error:
        if (problem := unusable_path(error)) is None:
            raise
        print_notes([f"analysis: {problem}"])
        status = 2
    sys.exit(status)
