"""The one kind of error that a user can mend, and the nearest valid name to say in it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Bad input: its message is one line that says what is wrong, where, and what would be right."""


def nearest(word: str, valid: Iterable[str]) -> str:
    """A phrase that names the nearest valid word, or all of them if none is near."""
    names = sorted(valid)
    close = difflib.get_close_matches(str(word), names, n=1, cutoff=0.5)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"valid: {', '.join(names)}" if names else "nothing is valid here"
