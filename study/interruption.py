"""Ctrl-C that is not lost: Ray may swallow a KeyboardInterrupt that arrives while one of its callbacks runs."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interruption:
    """Remembers that the user, or a batch system, wants the study to end."""

    def __init__(self) -> None:
        self.requested = False

    def check(self) -> None:
        """Raise KeyboardInterrupt if it was requested since `caught` was entered."""
        if self.requested:
            raise KeyboardInterrupt

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Inside, SIGINT and SIGTERM, which batch systems send before they kill, are remembered and raised."""
        before = {number: signal.signal(number, self._request) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        if number == signal.SIGTERM:  # while trials run, Tune has a handler of its own for SIGINT
            signal.raise_signal(signal.SIGINT)
        else:
            raise KeyboardInterrupt
