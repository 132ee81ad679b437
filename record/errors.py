"""The base of all errors that a user can fix, and the hint that their messages end with."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable, Iterator, Sequence


class UserError(ValueError):
    """Bad input. The message is one line: what is wrong, where, and what would be right.

    What it quotes, such as a file's name, may hold line breaks and the terminal's own commands: they are shown escaped.
    """

    def __str__(self) -> str:
        return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in super().__str__())


def nearest(word: str, valid: Iterable[str], examples: Sequence[str] = ()) -> str:
    """The end of an error message: the valid words closest to `word`; if none is close all of them, or the examples."""
    names = sorted(valid)
    close = difflib.get_close_matches(str(word), names, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(repr(name) for name in close)}?"
    if examples:
        return f"valid: {', '.join(examples)} and {len(names) - len(examples)} more"
    return f"valid: {', '.join(names)}" if names else "nothing is valid here"


# Names that the system takes for no file's, or does not let this user look up.
_UNUSABLE = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EACCES, errno.EPERM)


def unusable_path(error: OSError) -> UserError | None:
    """The error of a user who named a file or folder that cannot be looked up; None for any other system error."""
    if error.errno not in _UNUSABLE or error.filename is None:
        return None
    return UserError(f"{error.filename}: {error.strerror}; name another file or folder")


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, then what led to it, one after another."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def one_line(error: BaseException | str, limit: int = 200) -> str:
    """A message without line breaks, cut after `limit` characters."""
    line = " ".join(str(error).split())
    return line if len(line) <= limit else f"{line[:limit]}..."
