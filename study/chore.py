"""What a driver does again and again while a study runs, and how often."""

from __future__ import annotations

import time
from collections.abc import Callable

MAX_SHARE = 0.1


class Chore:
    """A call that is due `every` so many seconds, and takes a tenth of the driver's time at most: with thousands of trials it
    may take seconds."""

    def __init__(self, call: Callable[[], None], every: float = 0.0) -> None:
        self.call, self.every = call, every
        self.due = 0.0  # by time.monotonic()

    def __call__(self) -> None:
        start = time.monotonic()
        self.call()
        ended = time.monotonic()
        self.due = ended + max(self.every, (ended - start) * (1 / MAX_SHARE - 1))

    def if_due(self) -> None:
        if time.monotonic() >= self.due:
            self()
