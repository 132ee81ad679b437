"""What the verbs say beside their results."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from analysis.read.errors import StudyError


def print_notes(lines: Iterable[str]) -> None:
    """Print to standard error, so that a table can be piped into another program."""
    for line in lines:
        print(line, file=sys.stderr)


@contextmanager
def writing(what: str, to: Path) -> Iterator[None]:
    """Inside, a file or folder `to` that cannot be written is a `StudyError`. what: "the report"."""
    try:
        yield
    except OSError as error:
        raise StudyError(f"{to}: {what} cannot be written: {error.strerror}; choose another --to") from error
