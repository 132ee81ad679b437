"""What the epoch loops of all tasks share: how a training fails, and where its random numbers come from."""

from __future__ import annotations

import math

import numpy as np


class Diverged(ArithmeticError):
    """The loss is no longer finite; the message says in which epoch."""


def check_finite(loss: float, kind: str, epoch: int) -> None:
    """Raises Diverged for a loss that is NaN or infinite; kind: training or validation."""
    if not math.isfinite(loss):
        raise Diverged(f"diverged: the {kind} loss of epoch {epoch} is {loss}")


def hash_seed(*numbers: int) -> int:
    """One seed from several numbers, mixed so that neighbouring numbers give unrelated seeds."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint32)[0])
