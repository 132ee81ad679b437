"""What the epoch loops of all tasks share: how a training fails, and where its random numbers come from."""

from __future__ import annotations

import numpy as np


class Diverged(ArithmeticError):
    """The loss is no longer a finite number; the message says since when."""


def hash_seed(*numbers: int) -> int:
    """One seed out of several numbers, spread so that neighbours share nothing."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint32)[0])
